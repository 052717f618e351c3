/** Something is on its way, said to eyes and ears. */
export function Loading({ what }: { readonly what: string }) {
  return (
    <p className="gw-loading" role="status">
      <span className="gw-spinner" aria-hidden="true" /> Loading {what} …
    </p>
  );
}
