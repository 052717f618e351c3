/** A dialog whose code is fetched when it is opened for the first time. */
import { lazy, Suspense, type ComponentType } from "react";

export function lazyDialog<P extends object>(
  load: () => Promise<{ default: ComponentType<P> }>,
): ComponentType<P> {
  const Lazy = lazy(load) as unknown as ComponentType<P>;
  return function Dialog(props: P) {
    return (
      <Suspense fallback={null}>
        <Lazy {...props} />
      </Suspense>
    );
  };
}
