import type { LogTarget } from './log-destination.ts'

/** One string for each stream: neither name may hold a colon. */
export function targetKey({ group, stream }: LogTarget): string {
  return `${group}:${stream}`
}
