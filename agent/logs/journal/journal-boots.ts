import { withDeadline } from '../../lib/abort.ts'
import { AgentError } from '../../lib/errors.ts'
import type { Journalctl, StartJournalctl } from './journal-child.ts'

const maxOutputBytes = 1_048_576
const withinMs = 30_000
const maxBoots = 10_000

/** The boots that the journal has entries of, in no order. Throws what kept journalctl from saying. */
export async function listBoots(start: StartJournalctl, signal: AbortSignal): Promise<readonly string[]> {
  const ended = Promise.withResolvers<undefined>()
  let output = ''
  await using child: Journalctl = start({
    args: ['--field=_BOOT_ID'],
    onOutput: (chunk) => {
      output = (output + chunk.toString('latin1')).slice(0, maxOutputBytes)
    },
    onEnd: (error) => {
      if (error === undefined) ended.resolve(undefined)
      else ended.reject(error)
    },
  })
  await withDeadline({ signal, withinMs, what: 'the list of boots in the journal' }, () => ended.promise)
  const boots = output.split('\n').filter((line) => /^[0-9a-f]{32}$/.test(line))
  if (boots.length === 0) throw new AgentError(emptyMessage(child.complaint), { retryable: true })
  return boots
}

export interface KnownBoots {
  /** Those known from before, in their order. */
  readonly known: readonly string[]
  /** Those that cursors point into. */
  readonly needed: readonly string[]
  /** Those that the journal has. */
  readonly present: readonly string[]
  readonly current: string
}

/**
 * The boots in the order to read them in: those known from before, those that have come since, this one. Their times say nothing of
 * their order on a device whose clock may be wrong until it has a network.
 */
export function orderBoots({ known, needed, present, current }: KnownBoots): readonly string[] {
  const there = new Set([...present, ...needed])
  const earlier = [...new Set([...needed.filter((boot) => !known.includes(boot)), ...known, ...present])]
  return [...earlier.filter((boot) => boot !== current && there.has(boot)).slice(1 - maxBoots), current]
}

function emptyMessage(complaint: string): string {
  return `the journal shows no entries${complaint === '' ? '' : `: ${complaint}`}`
}
