import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import * as z from 'zod'

import { AgentError, errorCode } from '../lib/errors.ts'

/** An update of the agent that root has on trial. */
export type UpdateTrial = Readonly<z.infer<typeof trialSchema>>

/** What came of the last one that has ended. */
export type EndedUpdate = Readonly<z.infer<typeof endedSchema>>

/** What another version of root's side may have written: see "Documents between versions" in ARCHITECTURE.md. */
const common = { version: z.literal(1), id: z.string(), from: z.string(), to: z.string() }
const trialSchema = z.object({
  ...common,
  phase: z.enum(['installing', 'watching', 'reverting', 'ended']),
  confirmSeconds: z.number().default(600),
  /** While it is watched: until when it has to be confirmed, in milliseconds of CLOCK_MONOTONIC. */
  confirmByUptimeMs: z.number().optional(),
})
const endedSchema = z.object({
  ...common,
  outcome: z.enum(['confirmed', 'rolled-back', 'stuck']),
  reason: z.string().optional(),
  /** By the clock of the appliance, in UTC. */
  endedAt: z.string().optional(),
})

const defaultUpdateFolder = '/var/lib/panorama-agent-update'
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/** What root tells of updates of the agent: two documents that it replaces as a whole. See "Updates" in panorama-agent(8). */
export class UpdateReports {
  readonly #folder: string
  #trial: UpdateTrial | undefined
  #last: EndedUpdate | undefined

  constructor(folder: string = defaultUpdateFolder) {
    this.#folder = folder
  }

  /** Undefined while no update is on trial. Throws an AgentError when what root wrote cannot be read. */
  async trial(): Promise<UpdateTrial | undefined> {
    this.#trial = await this.#read('trial.json', trialSchema)
    return this.#trial
  }

  /** Undefined while there was none. Throws as `trial` does. */
  async last(): Promise<EndedUpdate | undefined> {
    this.#last = await this.#read('last-update.json', endedSchema)
    return this.#last
  }

  /** What was read last. */
  get known(): { readonly trial: UpdateTrial | undefined; readonly last: EndedUpdate | undefined } {
    return { trial: this.#trial, last: this.#last }
  }

  async #read<Schema extends z.ZodType>(name: string, schema: Schema): Promise<z.infer<Schema> | undefined> {
    const path = join(this.#folder, name)
    try {
      return schema.parse(JSON.parse(await readFile(path, 'utf8')))
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') return undefined
      throw new AgentError(`${path} cannot be read`, { retryable: true, cause })
    }
  }
}

/**
 * The version of the package for this machine in a folder of an artifact. Throws an AgentError when there is not exactly one,
 * or nobody signed it.
 */
export async function updateVersionIn(folder: string): Promise<string> {
  const architecture = architectures[process.arch] ?? process.arch
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new AgentError('the artifact has no release yet', { cause })
  })
  const pattern = new RegExp(`^panorama-agent_(.+)_${architecture}\\.deb$`)
  const found = names.filter((name) => pattern.test(name))
  const [file = ''] = found
  const version = pattern.exec(file)?.[1]
  if (version === undefined || found.length > 1) {
    throw new AgentError(`the release holds ${found.length} packages of panorama-agent for ${architecture}`, {
      hint: `publish one panorama-agent_VERSION_${architecture}.deb`,
    })
  }
  if (names.includes(`${file}.sig`)) return version
  throw new AgentError(`the release holds no signature ${file}.sig`, { hint: 'sign it: panorama-agent sign-update' })
}
