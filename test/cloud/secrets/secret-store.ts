import { randomInt, randomUUID } from 'node:crypto'

import { ServiceFault } from '../contract.ts'
import { moveStages, sameValue, type SecretValue, type SecretVersion } from './secret-versions.ts'

export interface Secret {
  readonly name: string
  /** Ends in a hyphen and six characters that no other secret of this name ever had. */
  readonly arn: string
  /** A customer managed key; absent where the account's aws/secretsmanager key does it. */
  readonly kmsKeyArn?: string
  readonly createdMs: number
  readonly changedMs: number
  /** Set while the secret is scheduled for deletion. */
  readonly deletionMs?: number | undefined
  readonly decryptable: boolean
  readonly versions: readonly SecretVersion[]
}

export interface NewVersion {
  readonly value: SecretValue
  /** Default: AWSCURRENT. */
  readonly stages?: readonly string[]
  /** Default: a new UUID. */
  readonly versionId?: string
}

export interface SecretStoreOptions {
  readonly account: string
  readonly region: string
  readonly now: () => number
}

interface Change {
  readonly visibleFromMs: number
  /** Undefined: the secret is gone. */
  readonly secret: Secret | undefined
}

/**
 * The secrets of one account and region. Writers see the newest state; readers see a write `visibleAfterMs` later, as
 * Secrets Manager is eventually consistent.
 */
export class SecretStore {
  /** For writes from now on. */
  visibleAfterMs = 0
  readonly #options: SecretStoreOptions
  readonly #changes = new Map<string, readonly Change[]>()

  constructor(options: SecretStoreOptions) {
    this.#options = options
  }

  /** The secret of this name or full ARN as readers see it. */
  visible(secretId: string): Secret | undefined {
    const nowMs = this.#options.now()
    for (const changes of this.#changes.values()) {
      const secret = changes.findLast(({ visibleFromMs }) => visibleFromMs <= nowMs)?.secret
      if (secret?.name === secretId || secret?.arn === secretId) return secret
    }
    return undefined
  }

  /** The newest state of the secret of this name or full ARN. Throws ResourceNotFoundException. */
  newest(secretId: string): Secret {
    for (const changes of this.#changes.values()) {
      const secret = changes.at(-1)?.secret
      if (secret?.name === secretId || secret?.arn === secretId) return secret
    }
    throw secretNotFound()
  }

  create(name: string, { value, kmsKeyArn }: { readonly value: SecretValue; readonly kmsKeyArn?: string }): Secret {
    if (!/^[A-Za-z0-9/_+=.@-]{1,512}$/.test(name)) throw new Error(`"${name}" is no name for a secret`)
    if (this.#changes.get(name)?.at(-1)?.secret !== undefined) throw new Error(`the secret ${name} is there already`)
    const nowMs = this.#options.now()
    const { region, account } = this.#options
    return this.#write({
      name,
      arn: `arn:aws:secretsmanager:${region}:${account}:secret:${name}-${randomSuffix()}`,
      ...(kmsKeyArn === undefined ? {} : { kmsKeyArn }),
      createdMs: nowMs,
      changedMs: nowMs,
      decryptable: true,
      versions: [{ id: randomUUID(), value, createdMs: nowMs, stages: ['AWSCURRENT'] }],
    })
  }

  /** Adds a version and moves the labels. Idempotent for a version id that comes again with the same value. */
  putVersion(
    secretId: string,
    { value, stages = ['AWSCURRENT'], versionId = randomUUID() }: NewVersion,
  ): SecretVersion {
    const secret = this.newest(secretId)
    if (secret.deletionMs !== undefined) throw scheduledForDeletion()
    const existing = secret.versions.find(({ id }) => id === versionId)
    if (existing !== undefined) return repeatedVersion(secret, existing, value)
    const nowMs = this.#options.now()
    const added = { id: versionId, value, createdMs: nowMs, stages: [] }
    this.#write({ ...secret, changedMs: nowMs, versions: moveStages([...secret.versions, added], versionId, stages) })
    return { ...added, stages }
  }

  /** Changes anything but the versions' values, such as labels or the deletion date. */
  update(secretId: string, change: (secret: Secret) => Secret): void {
    this.#write({ ...change(this.newest(secretId)), changedMs: this.#options.now() })
  }

  /** Removes the secret for good; its name is free at once. */
  purge(secretId: string): void {
    const { name } = this.newest(secretId)
    this.#append(name, undefined)
  }

  #write(secret: Secret): Secret {
    this.#append(secret.name, secret)
    return secret
  }

  #append(name: string, secret: Secret | undefined): void {
    const nowMs = this.#options.now()
    const earlier = this.#changes.get(name) ?? []
    const seen = earlier.findLastIndex(({ visibleFromMs }) => visibleFromMs <= nowMs)
    this.#changes.set(name, [
      ...earlier.slice(Math.max(0, seen)),
      { visibleFromMs: nowMs + this.visibleAfterMs, secret },
    ])
  }
}

export function secretNotFound(): ServiceFault {
  return new ServiceFault(400, 'ResourceNotFoundException', "Secrets Manager can't find the specified secret.")
}

export function scheduledForDeletion(): ServiceFault {
  return new ServiceFault(
    400,
    'InvalidRequestException',
    "You can't perform this operation on the secret because it was marked for deletion.",
  )
}

function repeatedVersion(secret: Secret, existing: SecretVersion, value: SecretValue): SecretVersion {
  if (sameValue(existing.value, value)) return existing
  throw new ServiceFault(
    400,
    'ResourceExistsException',
    `You can't use ClientRequestToken ${existing.id} because that value is already in use for a version of secret ${secret.arn}.`,
  )
}

function randomSuffix(): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
  return Array.from({ length: 6 }, () => letters.charAt(randomInt(letters.length))).join('')
}
