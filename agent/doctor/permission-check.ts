import { AgentError, reportError } from '../lib/errors.ts'
import { fail, pass, skip, warn, type Check, type Outcome } from './doctor-check.ts'

/**
 * What the configuration needs to be allowed, each asked for in a way that leaves nothing behind. All throw errors that name what
 * is missing in their hint.
 */
export interface Permissions {
  /** Answers until when they are valid: ISO 8601. */
  readonly credentials: (signal: AbortSignal) => Promise<string>
  /** The same of the role alias of an application. */
  readonly ofApplication: (roleAlias: string, signal: AbortSignal) => Promise<string>
  /** The key of one object, if there is any. */
  readonly list: (artifact: ArtifactPlace, signal: AbortSignal) => Promise<string | undefined>
  /** Reads at most one byte of an object, or learns that it is not there. */
  readonly get: (artifact: ArtifactPlace, key: string, signal: AbortSignal) => Promise<'read' | 'not-there'>
  /** The value is not to be kept. */
  readonly secret: (secretId: string, signal: AbortSignal) => Promise<string | undefined>
  readonly secretBatch: (secretId: string, signal: AbortSignal) => Promise<void>
  /** Puts an event into a stream that is not there, which is refused for that reason when it is allowed. */
  readonly putLogEvents: (group: string, signal: AbortSignal) => Promise<void>
  readonly createLogStream: (group: string, signal: AbortSignal) => Promise<'created' | 'exists' | 'no-group'>
  readonly createLogGroup: (group: string, signal: AbortSignal) => Promise<'created' | 'exists'>
}

export interface ArtifactPlace {
  readonly name: string
  readonly accessPoint: string
  readonly prefix: string
  /** Whether only signed manifests count, so that nothing has to be listed once there is one. */
  readonly isSigned: boolean
}

const withinMs = 15_000

export function credentialsCheck(permissions: Pick<Permissions, 'credentials'>, roleAlias: string): Check {
  return {
    id: 'credentials',
    name: 'credentials',
    withinMs,
    needs: ['identity', 'identity.dates', 'tls.credentials'],
    run: async (signal) => [
      pass(`role alias ${roleAlias} gave some, valid until ${await permissions.credentials(signal)}`),
    ],
  }
}

export function applicationCheck(
  { name, roleAlias }: { readonly name: string; readonly roleAlias: string },
  { ofApplication }: Pick<Permissions, 'ofApplication'>,
): Check {
  return {
    id: `credentials.application.${name}`,
    name: `application ${name}`,
    withinMs,
    needs: ['credentials'],
    run: async (signal) => [
      pass(`role alias ${roleAlias} gave credentials, valid until ${await ofApplication(roleAlias, signal)}`),
    ],
  }
}

export interface ArtifactCheckOptions {
  /** That of the endpoint of the access point. */
  readonly endpointKey: string
}

export function artifactCheck(
  artifact: ArtifactPlace,
  permissions: Pick<Permissions, 'list' | 'get'>,
  { endpointKey }: ArtifactCheckOptions,
): Check {
  return {
    id: `permission.artifact.${artifact.name}`,
    name: `S3 ${artifact.name}`,
    withinMs,
    needs: ['credentials', `tls.${endpointKey}`],
    run: async (signal) => {
      const place = `${artifact.prefix}* of ${artifact.accessPoint.split(':').at(-1) ?? ''}`
      const { key, listing } = await tryListing(artifact, permissions, { place, signal })
      const reading = await outcomeOf(signal, async () => {
        const got = await permissions.get(artifact, key ?? `${artifact.prefix}release.jws`, signal)
        return pass(`s3:GetObject on ${place} is allowed${got === 'read' ? '' : ' (nothing is published there yet)'}`)
      })
      const isUnclear = reading.level === 'fail' && listing.level !== 'pass' // then what is not there is denied as well
      const shown = isUnclear ? skip('whether s3:GetObject is allowed cannot be told without s3:ListBucket') : reading
      return [
        { ...listing, about: 'list' },
        { ...shown, about: 'get' },
      ]
    },
  }
}

async function tryListing(
  artifact: ArtifactPlace,
  { list }: Pick<Permissions, 'list'>,
  { place, signal }: { readonly place: string; readonly signal: AbortSignal },
): Promise<{ readonly key: string | undefined; readonly listing: Outcome }> {
  try {
    const key = await list(artifact, signal)
    return { key, listing: pass(`s3:ListBucket on ${place} is allowed`) }
  } catch (error) {
    signal.throwIfAborted()
    const { message, hint } = reportError(error)
    return { key: undefined, listing: artifact.isSigned ? warn(message, hint) : fail(message, hint) }
  }
}

export interface LogsCheckOptions {
  /** The device's own, which the agent makes where it is not there. */
  readonly group: string
  /** Further groups that sources name, as far as their names are known beforehand. */
  readonly others: readonly string[]
}

/** Where group or stream are not there, they are made, as the agent itself does at its first batch. */
export function logsCheck({ group, others }: LogsCheckOptions, permissions: Permissions): Check {
  return {
    id: 'permission.logs',
    name: 'CloudWatch Logs',
    withinMs,
    needs: ['credentials', 'tls.logs'],
    run: async (signal) => {
      const put = (each: string, about: string): Promise<Outcome> =>
        outcomeOf(signal, async () => {
          await permissions.putLogEvents(each, signal)
          return pass(`logs:PutLogEvents on ${each} is allowed`)
        }).then((outcome) => ({ ...outcome, about }))
      const puts = await Promise.all([put(group, 'put'), ...others.map((each) => put(each, `put.${each}`))])
      return [...(await creations(group, permissions, signal)), ...puts]
    },
  }
}

async function creations(group: string, permissions: Permissions, signal: AbortSignal): Promise<readonly Outcome[]> {
  const made: { stream?: 'created' | 'exists' | 'no-group' } = {}
  const stream = await outcomeOf(signal, async () => {
    made.stream = await permissions.createLogStream(group, signal)
    return pass(`logs:CreateLogStream in ${group} is allowed`)
  })
  const asked = await outcomeOf(signal, async () => {
    await permissions.createLogGroup(group, signal)
    return pass(`logs:CreateLogGroup on ${group} is allowed`)
  })
  const isThere = made.stream === 'created' || made.stream === 'exists'
  return [
    { ...(asked.level === 'fail' && isThere ? notNeededNow(asked) : asked), about: 'group' },
    { ...stream, about: 'stream' },
  ]
}

function notNeededNow({ text, hint }: Outcome): Outcome {
  return warn(`${text}; the group is there, so it is not needed now`, hint)
}

export interface SecretsCheckOptions {
  readonly cameras: readonly { readonly name: string; readonly secretId: string }[]
  /** Takes what the check of the camera needs from a value. Throws when it is no secret of a camera. */
  readonly onValue: (camera: string, secretId: string, text: string | undefined) => void
}

const atATime = 8
const mostSecrets = 100

/** Values are read, handed on in memory and dropped; nothing of them is in a finding. */
export function secretsCheck({ cameras, onValue }: SecretsCheckOptions, permissions: Permissions): Check {
  return {
    id: 'permission.secrets',
    name: 'secret',
    withinMs: 20_000,
    needs: ['credentials', 'tls.secretsManager'],
    run: async (signal) => {
      const asked = cameras.slice(0, mostSecrets)
      const outcomes: Outcome[] = []
      const queue = asked.values()
      const lane = async (): Promise<void> => {
        for (const { name, secretId } of queue) {
          const outcome = await outcomeOf(signal, async () => {
            onValue(name, secretId, await permissions.secret(secretId, signal))
            return pass(`${secretId} can be read, and is one of a camera`)
          })
          outcomes.push({ ...outcome, about: name })
        }
      }
      await Promise.all(Array.from({ length: atATime }, lane))
      const left = cameras.length - asked.length
      const byName = outcomes.toSorted((a, b) => indexOf(cameras, a.about) - indexOf(cameras, b.about))
      const rest = left === 0 ? [] : [{ ...skip(`${left} more secrets were not asked for`), about: 'others' }]
      return [...byName, ...rest, await batchOutcome(asked, permissions, signal)]
    },
  }
}

async function batchOutcome(
  cameras: SecretsCheckOptions['cameras'],
  permissions: Pick<Permissions, 'secretBatch'>,
  signal: AbortSignal,
): Promise<Outcome> {
  const [first] = cameras
  if (first === undefined) throw new AgentError('there is no camera to ask for')
  const outcome = await outcomeOf(signal, async () => {
    await permissions.secretBatch(first.secretId, signal)
    return pass('secretsmanager:BatchGetSecretValue is allowed')
  })
  const { level, text, hint } = outcome
  const slower =
    level === 'fail' ? warn(`${text}; secrets are read one by one, which costs more requests`, hint) : outcome
  return { ...slower, about: 'batches' }
}

function indexOf(cameras: SecretsCheckOptions['cameras'], name: string | undefined): number {
  return cameras.findIndex((camera) => camera.name === name)
}

/** What is thrown as a failure of this part alone. */
async function outcomeOf(signal: AbortSignal, ask: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await ask()
  } catch (error) {
    signal.throwIfAborted()
    const { message, hint } = reportError(error)
    return fail(message, hint)
  }
}
