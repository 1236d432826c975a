import { randomUUID } from 'node:crypto'

import { type CloudRequest, type CloudResponse, type CloudService, ServiceFault } from '../contract.ts'
import { secretActions } from './secret-actions.ts'
import { type NewVersion, SecretStore, type SecretStoreOptions } from './secret-store.ts'
import { findStage, moveStages, type SecretValue } from './secret-versions.ts'

/** What a test or an operator does to secrets behind the API. Names may be full ARNs too. */
export interface SecretsAdmin {
  /** A new secret whose first version is AWSCURRENT. Throws when the name is taken. */
  createSecret(
    name: string,
    value: string | Uint8Array,
    options?: { readonly kmsKeyArn?: string },
  ): { readonly arn: string; readonly versionId: string }
  /** Adds a version, by default as AWSCURRENT, whose holder becomes AWSPREVIOUS. Answers the version's id. */
  putSecretValue(name: string, value: string | Uint8Array, options?: Omit<NewVersion, 'value'>): string
  /** A whole rotation: the value is staged as AWSPENDING, then becomes AWSCURRENT. Answers the version's id. */
  rotateSecret(name: string, value: string | Uint8Array): string
  /** The last step of a rotation alone: AWSCURRENT moves to the version that is AWSPENDING. */
  finishRotation(name: string): string
  /** Schedules deletion in 30 days, or removes the secret at once. */
  deleteSecret(name: string, options?: { readonly atOnce?: boolean }): void
  restoreSecret(name: string): void
  /** Makes reading fail with DecryptionFailure, as when the key is gone, until it is set back. */
  setDecryptable(name: string, decryptable: boolean): void
  /** Makes the policy of the VPC endpoint on the way deny reading these, by name or ARN, and no others. */
  setDeniedAtEndpoint(secretIds: readonly string[]): void
  /** Readers see what is written from now on so much later. Default 0. */
  setVisibleAfterMs(visibleAfterMs: number): void
}

export interface SecretsServiceOptions extends SecretStoreOptions {
  readonly visibleAfterMs?: number
}

/**
 * AWS Secrets Manager in memory, by its JSON 1.1 protocol: GetSecretValue, BatchGetSecretValue, DescribeSecret and
 * PutSecretValue. Authorises by the caller's policies before it looks whether a secret exists; a secret has no policy
 * of its own here, and a customer managed key is taken to leave the decision to the caller's policies.
 */
export function createSecretsService(options: SecretsServiceOptions): CloudService & SecretsAdmin {
  const store = new SecretStore(options)
  store.visibleAfterMs = options.visibleAfterMs ?? 0
  const deniedAtEndpoint = new Set<string>()
  return {
    name: 'secretsmanager',
    serves: (host) => host === 'secretsmanager.localhost' || host === `secretsmanager.${options.region}.amazonaws.com`,
    actionOf,
    handle: async (request, { caller }) => {
      const access = { account: options.account, region: options.region, caller, deniedAtEndpoint }
      const action = secretActions.get(actionOf(request))
      if (action === undefined || request.method !== 'POST')
        throw new ServiceFault(400, 'UnknownOperationException', '')
      return await Promise.resolve(toResponse(request, 200, action({ store, access, input: parseBody(request.body) })))
    },
    formatFault: ({ status, code, message, headers }, request) => {
      const response = toResponse(request, status, { __type: code, Message: message })
      return { ...response, headers: { ...response.headers, ...headers } }
    },
    ...createAdmin(store, options),
    setDeniedAtEndpoint(secretIds) {
      deniedAtEndpoint.clear()
      for (const secretId of secretIds) deniedAtEndpoint.add(secretId)
    },
  }
}

const targetPrefix = 'secretsmanager.'
const recoveryMs = 30 * 86_400_000

function createAdmin(store: SecretStore, { now }: SecretsServiceOptions): Omit<SecretsAdmin, 'setDeniedAtEndpoint'> {
  const finishRotation = (name: string): string => {
    const pending = findStage(store.newest(name).versions, 'AWSPENDING')
    if (pending === undefined) throw new Error(`the secret ${name} has no AWSPENDING version`)
    store.update(name, (secret) => ({ ...secret, versions: moveStages(secret.versions, pending.id, ['AWSCURRENT']) }))
    return pending.id
  }
  return {
    createSecret(name, value, { kmsKeyArn } = {}) {
      const { arn, versions } = store.create(name, {
        value: toValue(value),
        ...(kmsKeyArn === undefined ? {} : { kmsKeyArn }),
      })
      return { arn, versionId: versions[0]?.id ?? '' }
    },
    putSecretValue: (name, value, version = {}) => store.putVersion(name, { value: toValue(value), ...version }).id,
    rotateSecret(name, value) {
      store.putVersion(name, { value: toValue(value), stages: ['AWSPENDING'], versionId: randomUUID() })
      return finishRotation(name)
    },
    finishRotation,
    deleteSecret(name, { atOnce = false } = {}) {
      if (atOnce) store.purge(name)
      else store.update(name, (secret) => ({ ...secret, deletionMs: now() + recoveryMs }))
    },
    restoreSecret(name) {
      store.update(name, (secret) => ({ ...secret, deletionMs: undefined }))
    },
    setDecryptable(name, decryptable) {
      store.update(name, (secret) => ({ ...secret, decryptable }))
    },
    setVisibleAfterMs(visibleAfterMs) {
      store.visibleAfterMs = visibleAfterMs
    },
  }
}

function actionOf({ headers }: CloudRequest): string {
  const target = headers['x-amz-target'] ?? ''
  return target.startsWith(targetPrefix) ? target.slice(targetPrefix.length) : 'Unknown'
}

function parseBody(body: Uint8Array): unknown {
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
    return json
  } catch {
    throw new ServiceFault(400, 'SerializationException', '')
  }
}

function toResponse({ id }: CloudRequest, status: number, body: object): CloudResponse {
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': id }
  return { status, headers, body: JSON.stringify(body) }
}

function toValue(value: string | Uint8Array): SecretValue {
  return typeof value === 'string' ? { text: value } : { bytes: value }
}
