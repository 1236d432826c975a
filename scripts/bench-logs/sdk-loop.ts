import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import { parseArgs } from 'node:util'

import { CloudWatchLogsClient, PutLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs'
import { NodeHttpHandler } from '@smithy/node-http-handler'

import { Stopwatch } from './figures.ts'

/** What one would write by hand: lines into batches at the limits of PutLogEvents, one timestamp a batch, one request after the other. */
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '' },
    certificate: { type: 'string', default: '' },
    file: { type: 'string', default: '' },
  },
})
const maxBytes = 1_048_576
const maxEvents = 10_000
const overheadBytes = 26

const stopwatch = new Stopwatch()
const client = new CloudWatchLogsClient({
  region: 'us-west-2',
  endpoint: `https://localhost:${values.port}`,
  credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'bench' },
  requestHandler: new NodeHttpHandler({
    httpsAgent: new Agent({ keepAlive: true, ca: await readFile(values.certificate, 'utf8') }),
  }),
})
await sendLines()
await stopwatch.report()
process.exit(0)

async function sendLines(): Promise<void> {
  let batch: string[] = []
  let bytes = 0
  let rest = ''
  for await (const chunk of createReadStream(values.file, { encoding: 'utf8' }) as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const eventBytes = Buffer.byteLength(line) + overheadBytes
      if (bytes + eventBytes > maxBytes || batch.length === maxEvents) {
        await send(batch)
        batch = []
        bytes = 0
      }
      batch.push(line)
      bytes += eventBytes
    }
  }
  await send(batch)
}

async function send(batch: readonly string[]): Promise<void> {
  const timestamp = Date.now()
  const logEvents = batch.map((message) => ({ timestamp, message }))
  await client.send(new PutLogEventsCommand({ logGroupName: 'bench', logStreamName: 'plain', logEvents }))
}
