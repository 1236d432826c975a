import { readFileSync } from 'node:fs'

import { monotonicMs } from '../../lib/monotonic.ts'

/** How the journal's monotonic time reads on ours. */
export interface JournalClock {
  /** Of this boot, 32 hexadecimal digits; undefined where nobody says it. */
  readonly bootId: string | undefined
  /** On the monotonic clock (`monotonicMs`), of an entry of this boot. */
  atMsOf(monotonicUs: number): number
}

const bootIdPath = '/proc/sys/kernel/random/boot_id'

/**
 * The clock of this boot. `bootId` is what systemd says (specifier `%b`); without it the kernel is asked, which a unit with
 * `ProcSubset=pid` cannot. CLOCK_MONOTONIC is what journald stamps with and what Node counts on from another origin.
 */
export function readJournalClock(bootId: string | undefined): JournalClock {
  const text = bootId ?? readKernelBootId()
  const id = text.trim().replaceAll('-', '').toLowerCase()
  const originMs = monotonicMs() - Number(process.hrtime.bigint()) / 1_000_000
  return {
    bootId: /^[0-9a-f]{32}$/.test(id) ? id : undefined,
    atMsOf: (monotonicUs) => monotonicUs / 1_000 + originMs,
  }
}

function readKernelBootId(): string {
  try {
    return readFileSync(bootIdPath, 'utf8')
  } catch {
    return ''
  }
}
