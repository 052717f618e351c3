/** A fault in one page leaves the frame standing, and says what to do. */
import { Component, type ReactNode } from "react";

import { refusalOf, type Refusal } from "../data/refusal.ts";
import { RefusalNote } from "./refusal-note.tsx";

interface Props {
  readonly children: ReactNode;
}
interface State {
  readonly refusal: Refusal | undefined;
}

export class ErrorGuard extends Component<Props, State> {
  override readonly state: State = { refusal: undefined };

  static getDerivedStateFromError(error: unknown): State {
    return { refusal: refusalOf(error) };
  }

  override render(): ReactNode {
    if (this.state.refusal === undefined) return this.props.children;
    return <RefusalNote refusal={this.state.refusal} onAgain={() => location.reload()} />;
  }
}
