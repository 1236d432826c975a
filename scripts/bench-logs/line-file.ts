import { createWriteStream } from 'node:fs'
import { once } from 'node:events'
import { finished } from 'node:stream/promises'

/** In front of the number of a line, of seven digits. Stands nowhere else in a line. */
export const numberMark = '#'
export const numberDigits = 7

const linesPerChunk = 5_000
const spanMs = 3_600_000
const texts = [
  (n: number) => `frame done in ${n % 90} ms, ${n % 7} persons, ${n % 3} vehicles, queue ${n % 11}`,
  (n: number) => `decoded ${(n * 37) % 100_000} bytes of access unit ${(n * 7_919) % 1_000_003}, gop ${n % 50}`,
  (n: number) => `tracker kept ${n % 23} of ${(n % 23) + (n % 5)} objects, score ${((n * 31) % 1000) / 1000}`,
  (n: number) => `node output port video_out ready, latency ${(n * 13) % 400} us, batch ${n % 16}`,
]

/**
 * Writes `count` lines of about 116 bytes as the appliance's controller writes them (`2023-02-14 11:53:09.240 WARN
 * function(338) text`), of the last hour in UTC, and numbered. Answers their bytes.
 */
export async function writeLineFile(path: string, count: number): Promise<number> {
  const stream = createWriteStream(path)
  const startMs = Date.now() - spanMs
  let bytes = 0
  for (let first = 0; first < count; first += linesPerChunk) {
    const numbers = Array.from({ length: Math.min(linesPerChunk, count - first) }, (_, index) => first + index)
    const chunk = numbers.map((n) => `${line(n, startMs + (n / count) * spanMs)}\n`).join('')
    bytes += chunk.length
    if (!stream.write(chunk)) await once(stream, 'drain')
  }
  stream.end()
  await finished(stream)
  return bytes
}

function line(n: number, atMs: number): string {
  const time = new Date(atMs).toISOString().replace('T', ' ').slice(0, 23)
  const level = n % 50 === 0 ? 'WARN ' : 'INFO '
  const text = texts[n % texts.length]?.(n) ?? ''
  const number = String(n).padStart(numberDigits, '0')
  return `${time} ${level} runInference(${300 + (n % 60)}) dock-${n % 4} ${numberMark}${number} ${text}`
}
