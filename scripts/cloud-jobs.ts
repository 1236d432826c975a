import { readFile } from 'node:fs/promises'

import type { CloudCommand } from '../test/cloud/iot/cloud-door.ts'
import { askCloud, missing } from './ask-cloud.ts'

/** What the command line says about jobs. */
export interface JobsOptions {
  readonly folder?: string | undefined
  readonly job?: string | undefined
  readonly document?: string | undefined
  readonly thing: string
  readonly 'timeout-minutes'?: string | undefined
  readonly force: boolean
}

/** Has a running cloud do it, and prints its answer as JSON. Throws an Error that says what is wrong. */
export async function runJobsCommand(verb: string | undefined, options: JobsOptions): Promise<void> {
  const command = await commandOf(verb, options)
  const answer = await askCloud(options.folder, command)
  process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
}

async function commandOf(verb: string | undefined, options: JobsOptions): Promise<CloudCommand> {
  const { job, document, thing, force, 'timeout-minutes': minutes } = options
  switch (verb) {
    case 'create':
      return {
        command: 'create',
        jobId: job ?? missing('--job'),
        targets: [thing],
        document: await readDocument(document ?? missing('--document')),
        ...(minutes === undefined ? {} : { inProgressTimeoutInMinutes: minutesOf(minutes) }),
      }
    case 'cancel':
      return { command: 'cancel', jobId: job ?? missing('--job'), force }
    case 'list':
      return { command: 'list' }
    default:
      throw new Error(`"jobs ${verb ?? ''}" is not known: create, cancel or list`)
  }
}

async function readDocument(file: string): Promise<string> {
  const text = await readFile(file, 'utf8')
  try {
    JSON.parse(text)
  } catch (error) {
    throw new Error(`${file} is not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  return text
}

function minutesOf(text: string): number {
  if (/^[0-9]+$/.test(text)) return Number(text)
  throw new Error(`--timeout-minutes must be a number of minutes, not "${text}"`)
}
