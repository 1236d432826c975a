import * as z from 'zod'

const headerLine = z.object({
  version: z.literal(1),
  key: z.string(),
  etag: z.string().optional(),
  versionId: z.string().optional(),
  sizeBytes: z.int().nonnegative(),
  promised: z.string().optional(),
  partBytes: z.int().positive(),
})

/** Which object a partial file is of, in which version, and how it is cut. */
export type LedgerHeader = Readonly<z.infer<typeof headerLine>>

export interface PartLedger {
  readonly header: LedgerHeader
  /** The sha256, in lower-case hex, of each part that was on disk when it was recorded. By index; the last word counts. */
  readonly parts: ReadonlyMap<number, string>
  /** Where the text stops being whole lines: what follows was cut off by a crash. */
  readonly validBytes: number
}

const partLine = /^(\d{1,7}) ([0-9a-f]{64})$/

/**
 * Reads a ledger: a header in JSON, then a line `<index> <sha256>` for each part. A last line without its end is
 * ignored, and so is any line that is none. Undefined when not even the header can be read.
 */
export function parseLedger(text: string): PartLedger | undefined {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  const [first = '', ...lines] = whole.split('\n')
  const header = parseHeader(first)
  if (header === undefined) return undefined
  const count = Math.ceil(header.sizeBytes / header.partBytes)
  const parts = new Map<number, string>()
  for (const line of lines) {
    const [, index = '', sha256 = ''] = partLine.exec(line) ?? []
    if (sha256 !== '' && Number(index) < count) parts.set(Number(index), sha256)
  }
  return { header, parts, validBytes: Buffer.byteLength(whole) }
}

export function ledgerHeaderLine(header: LedgerHeader): string {
  return `${JSON.stringify(header)}\n`
}

export function ledgerPartLine(index: number, sha256: string): string {
  return `${index} ${sha256}\n`
}

function parseHeader(line: string): LedgerHeader | undefined {
  try {
    return headerLine.parse(JSON.parse(line))
  } catch {
    return undefined
  }
}
