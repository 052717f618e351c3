/**
 * After a migration: asks the lab's observers what a client and the guest saw, and adds it to the report. A VM that
 * belongs to no lab has no observers; its report says "not observed".
 */
import type { GodwitClient } from "../api/client.ts";

/** Called once after every migration that ended with "done". */
export async function attachObservations(_client: GodwitClient, _id: string): Promise<void> {
  // No observer is known here yet.
}
