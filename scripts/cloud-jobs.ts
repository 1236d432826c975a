import { readFile } from 'node:fs/promises'

import { z } from 'zod'

import type { CloudCommand } from '../test/cloud/iot/cloud-commands.ts'
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

const canceled = z.object({ jobId: z.string(), inProgress: z.array(z.string()) })

/**
 * Has a running cloud do it, and prints its answer as JSON. Says on standard error what a cancelled job leaves in progress,
 * which is no fault (CancelJob, AWS IoT API reference). Throws an Error that says what is wrong.
 */
export async function runJobsCommand(verb: string | undefined, options: JobsOptions): Promise<void> {
  const command = await commandOf(verb, options)
  const answer = await askCloud(options.folder, command)
  process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
  if (command.command !== 'cancel') return
  const { jobId, inProgress } = canceled.parse(answer)
  if (inProgress.length > 0)
    process.stderr.write(`cloud: ${jobId} goes on, without --force, on ${inProgress.join(', ')}\n`)
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
    case 'cancel-execution':
      return { command: 'cancel-execution', jobId: job ?? missing('--job'), thingName: thing, force }
    case 'list':
      return { command: 'list' }
    default:
      throw new Error(`"jobs ${verb ?? ''}" is not known: create, cancel, cancel-execution or list`)
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
