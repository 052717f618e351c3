import type { Finding } from "../api/host.ts";
export const findings = (_: object): Finding[] => [];
export const blockers = async (_: object): Promise<Finding[]> => [];
export const missingFiles = (_: object): string[] => [];
