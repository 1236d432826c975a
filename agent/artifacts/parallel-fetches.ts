const maxPerArtifact = 8
const maxTogether = 64

/**
 * How many objects each of so many artifacts may fetch at a time, at least one, so that up to 64 artifacts keep no
 * more than 64 connections busy together.
 */
export function parallelFetches(artifacts: number): number {
  return Math.max(1, Math.min(maxPerArtifact, Math.floor(maxTogether / artifacts)))
}
