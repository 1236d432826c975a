import { request } from 'node:http'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

import type { JobsCommand } from '../test/cloud/iot/jobs/jobs-door.ts'

/** What the command line says about jobs. */
export interface JobsOptions {
  readonly folder?: string | undefined
  readonly job?: string | undefined
  readonly document?: string | undefined
  readonly thing: string
  readonly 'timeout-minutes'?: string | undefined
  readonly force: boolean
}

const answerTimeoutMs = 10_000

/** Where a cloud that was given this folder listens for commands. */
export function jobsSocket(folder: string): string {
  const path = join(folder, 'cloud.sock')
  // The system's bound on paths of sockets (sun_path), its final zero byte taken off.
  if (Buffer.byteLength(path) > 107) throw new Error(`${path} is too long for a socket: choose a shorter folder`)
  return path
}

/** Has a running cloud do it, and prints its answer as JSON. Throws an Error that says what is wrong. */
export async function runJobsCommand(verb: string | undefined, options: JobsOptions): Promise<void> {
  const command = await commandOf(verb, options)
  const socketPath = jobsSocket(options.folder ?? missing('--folder, as the cloud was given it'))
  const answer: unknown = JSON.parse(await post(socketPath, JSON.stringify(command)))
  process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
}

async function commandOf(verb: string | undefined, options: JobsOptions): Promise<JobsCommand> {
  const { job, document, thing, force, 'timeout-minutes': minutes } = options
  switch (verb) {
    case 'create':
      return {
        command: 'create',
        jobId: job ?? missing('--job'),
        targets: [thing],
        document: await readFile(document ?? missing('--document'), 'utf8'),
        ...(minutes === undefined ? {} : { inProgressTimeoutInMinutes: Number(minutes) }),
      }
    case 'cancel':
      return { command: 'cancel', jobId: job ?? missing('--job'), force }
    case 'list':
      return { command: 'list' }
    default:
      throw new Error(`"jobs ${verb ?? ''}" is not known: create, cancel or list`)
  }
}

async function post(socketPath: string, body: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const signal = AbortSignal.timeout(answerTimeoutMs)
  const asking = request({ socketPath, method: 'POST', path: '/jobs', signal }, (response) => {
    text(response).then((answer) => {
      if (response.statusCode === 200) resolve(answer)
      else reject(new Error(answer))
    }, reject)
  })
  asking.once('error', (error) => {
    reject(new Error(`no local cloud with AWS IoT Core answers at ${socketPath}: ${error.message}`))
  })
  asking.end(body)
  return await promise
}

function missing(option: string): never {
  throw new Error(`${option} is missing`)
}
