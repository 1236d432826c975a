import type { StartJournalctl } from './journal-child.ts'
import { parseJournalEntry } from './journal-entry.ts'
import { JournalLines } from './journal-lines.ts'
import type { JournalPosition, JournalSerial } from './journal-position.ts'

const maxLineBytes = 65_536

export interface JournalPlace {
  readonly path: string
  /** The number of the entry, or of one before it. */
  readonly serial: JournalSerial
}

/**
 * The first entry of a journal file with that number or a higher one; undefined where there is none. Found by a cursor that says no
 * more than the number (sd_journal_seek_cursor in systemd's sd-journal.c takes that), for times do not find it where the clock was set. Throws what kept
 * journalctl from saying.
 */
export async function firstEntryOf(
  start: StartJournalctl,
  { path, serial: { id, number } }: JournalPlace,
  signal: AbortSignal,
): Promise<JournalPosition | undefined> {
  signal.throwIfAborted()
  const found = Promise.withResolvers<JournalPosition | undefined>()
  const lines = new JournalLines(maxLineBytes)
  const onAbort = (): void => {
    found.reject(signal.reason)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await using owned = new AsyncDisposableStack()
    let isOver = false
    const end = (position: JournalPosition | undefined): void => {
      isOver = true
      found.resolve(position)
    }
    owned.use(
      start({
        args: [`--file=${path}`, '--output-fields=_BOOT_ID', `--cursor=s=${id};i=${number.toString(16)}`],
        onOutput: (chunk) => {
          for (const line of isOver ? [] : lines.push(chunk)) {
            const entry = 'text' in line ? parseJournalEntry(line.text) : undefined
            if (entry !== undefined && !isOver) end(entry.position)
          }
        },
        onEnd: (error) => {
          if (error === undefined) end(undefined)
          else found.reject(error)
        },
      }),
    )
    return await found.promise
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Whether journalctl does not take a cursor. */
export function isOfCursor({ message }: Error): boolean {
  return /seek to cursor/i.test(message)
}
