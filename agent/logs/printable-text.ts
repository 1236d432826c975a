/** Text that CloudWatch Logs and JSON can carry: NUL becomes a visible symbol, lone surrogates the replacement mark. */
export function printableText(text: string): string {
  const wellFormed = text.isWellFormed() ? text : text.toWellFormed()
  return wellFormed.includes('\0') ? wellFormed.replaceAll('\0', '\u2400') : wellFormed
}

/** How many bytes at the end of `bytes` begin a UTF-8 sequence (RFC 3629) that is not complete yet: 0 to 3. */
export function incompleteTailBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= 3; back += 1) {
    const byte = bytes.at(-back) ?? 0
    if (isContinuation(byte) && back < bytes.length) continue
    return sequenceBytes(byte) > back ? back : 0
  }
  return 0
}

/** The last place at or before `atBytes` that is not inside a UTF-8 sequence; `atBytes` itself in what is not UTF-8. */
export function characterBoundary(bytes: Uint8Array, atBytes: number): number {
  for (let cut = atBytes; cut > 0 && cut > atBytes - 4; cut -= 1) {
    if (!isContinuation(bytes[cut] ?? 0)) return cut
  }
  return atBytes
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}

function sequenceBytes(lead: number): number {
  if (lead >= 0xf0 && lead <= 0xf4) return 4
  if (lead >= 0xe0) return lead <= 0xef ? 3 : 1
  return lead >= 0xc2 ? 2 : 1
}
