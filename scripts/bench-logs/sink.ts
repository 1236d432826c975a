import { createServer } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'

import { makeCertificate, serverExtensions } from '../../test/support/certificates.ts'
import { numberDigits, numberMark } from './line-file.ts'

/** What came since it was last asked. */
export interface SinkCounts {
  /** PutLogEvents only. */
  readonly requests: number
  readonly otherRequests: number
  /** Of the bodies as they came. */
  readonly bytes: number
  readonly events: number
  /** How many of the numbered lines came, each counted once. */
  readonly lines: number
  /** Lines that came after one with a higher number. */
  readonly outOfOrder: number
}

export type SinkMessage = { readonly port: number; readonly certificate: string } | { readonly counts: SinkCounts }

const eventMark = '"message":'
const hosts = ['localhost', 'logs.localhost']

class Sink {
  #counts: SinkCounts = { requests: 0, otherRequests: 0, bytes: 0, events: 0, lines: 0, outOfOrder: 0 }
  #seen = new Uint8Array(0)
  #highest = -1
  #counting: Promise<void> = Promise.resolve()

  /** Ends the counting. */
  async take(): Promise<SinkCounts> {
    await this.#counting
    return this.#counts
  }

  answer({ headers }: IncomingMessage, body: Buffer): string {
    if (headers['x-amz-target'] === 'Logs_20140328.PutLogEvents') {
      const { requests, bytes } = this.#counts
      this.#counts = { ...this.#counts, requests: requests + 1, bytes: bytes + body.length }
      const isCompressed = headers['content-encoding'] === 'gzip'
      this.#counting = this.#counting.then(() => this.#count(body, isCompressed))
      return '{"nextSequenceToken":"1"}'
    }
    this.#counts = { ...this.#counts, otherRequests: this.#counts.otherRequests + 1 }
    const { logStreamNamePrefix: logStreamName } = JSON.parse(body.toString()) as { logStreamNamePrefix?: string }
    return JSON.stringify({ logStreams: [{ logStreamName }] })
  }

  /** A quotation mark inside a message is escaped, so what marks an event is nothing else. */
  async #count(body: Buffer, isCompressed: boolean): Promise<void> {
    const json = isCompressed ? await promisify(gunzip)(body) : body
    let { events, lines, outOfOrder } = this.#counts
    for (let next, at = json.indexOf(eventMark); at >= 0; at = next) {
      next = json.indexOf(eventMark, at + eventMark.length)
      events += 1
      const mark = json.indexOf(numberMark, at)
      if (mark < 0 || (next >= 0 && mark > next)) continue
      const number = Number(json.toString('latin1', mark + 1, mark + 1 + numberDigits))
      if (this.#isNew(number)) lines += 1
      if (number < this.#highest) outOfOrder += 1
      this.#highest = Math.max(this.#highest, number)
    }
    this.#counts = { ...this.#counts, events, lines, outOfOrder }
  }

  #isNew(number: number): boolean {
    if (number >= this.#seen.length) {
      const longer = new Uint8Array(Math.max(number + 1, this.#seen.length * 2))
      longer.set(this.#seen)
      this.#seen = longer
    }
    const isNew = this.#seen[number] === 0
    this.#seen[number] = 1
    return isNew
  }
}

/** CloudWatch Logs as a process of its own that takes everything and only counts. Tells its parent where it is, and the counts when asked. */
const state = { sink: new Sink() }
const { pem, privateKey } = await makeCertificate({ commonName: 'log sink', extensions: serverExtensions(...hosts) })
const server = createServer({ cert: pem, key: privateKey, keepAliveTimeout: 600_000 }, (request, response) => {
  void buffer(request).then((body) => {
    response.setHeader('content-type', 'application/x-amz-json-1.1')
    response.end(state.sink.answer(request, body))
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') tell({ port: address.port, certificate: pem })
})
process.on('message', () => {
  const { sink } = state
  state.sink = new Sink()
  void sink.take().then((counts) => {
    tell({ counts })
  })
})
process.on('disconnect', () => process.exit(0))

function tell(message: SinkMessage): void {
  process.send?.(message)
}
