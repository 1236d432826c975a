import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { NodeHttpHandler } from '@smithy/node-http-handler'
import type winstonModule from 'winston'

import { Stopwatch } from './figures.ts'

/** winston-cloudwatch, from a folder that it is installed in, fed from a file no faster than it sends. */
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '' },
    certificate: { type: 'string', default: '' },
    file: { type: 'string', default: '' },
    modules: { type: 'string', default: '' },
  },
})
/** Its default is 2,000: one batch in two seconds. */
const uploadRate = 5
const maxQueued = 20_000

/** What is used here of a package without types of our own. */
interface Transport {
  readonly logEvents: readonly unknown[]
  kthxbye(callback: (error?: Error) => void): void
}

const require = createRequire(join(values.modules, 'package.json'))
const winston = require('winston') as typeof winstonModule
const { CloudWatchLogs } = require('@aws-sdk/client-cloudwatch-logs') as {
  CloudWatchLogs: new (options: object) => object
}
const WinstonCloudWatch = require('winston-cloudwatch') as new (options: object) => Transport & winstonModule.transport
const httpsAgent = new Agent({ keepAlive: true, ca: await readFile(values.certificate, 'utf8') })
const stopwatch = new Stopwatch()
const transport = new WinstonCloudWatch({
  cloudWatchLogs: new CloudWatchLogs({
    region: 'us-west-2',
    endpoint: `https://localhost:${values.port}`,
    credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'bench' },
    requestHandler: new NodeHttpHandler({ httpsAgent }),
  }),
  logGroupName: 'bench',
  logStreamName: 'winston',
  uploadRate,
  messageFormatter: ({ message }: { message: string }) => message,
})
const logger = winston.createLogger({ transports: [transport] })
for await (const line of createInterface({ input: createReadStream(values.file) })) {
  logger.info(line)
  while (transport.logEvents.length >= maxQueued) await delay(uploadRate)
}
await new Promise<void>((resolve, reject) => {
  transport.kthxbye((error) => {
    if (error === undefined) resolve()
    else reject(error)
  })
})
await delay(200) // it does not wait for the answer to its last batch
await stopwatch.report()
process.exit(0)
