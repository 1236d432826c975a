import { describe } from 'vitest'

import { createSecretsManagerReader } from '../../agent/aws/secrets-manager-reader.ts'
import { AgentError } from '../../agent/lib/errors.ts'
import { FakeSecretReader } from '../support/fake-secret-reader.ts'
import { openLocalSession } from '../support/local-session.ts'
import { withoutAction } from '../support/without-action.ts'
import { secretReaderContract, type SecretReaderFixture } from './secret-reader.ts'

describe('the fake secret reader', () => {
  secretReaderContract(async () => {
    const reader = new FakeSecretReader()
    return await Promise.resolve({
      reader,
      store: (secretId, value) => reader.store(secretId, value),
      refuse: (secretId) => {
        const error = new AgentError(`the secret ${secretId} cannot be read`)
        reader.set(secretId, error)
        reader.setPrevious(secretId, error)
      },
      denyBatches: () => {
        reader.isBatchDenied = () => true
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    })
  })
})

describe('the secret reader on Secrets Manager', () => {
  secretReaderContract(async (): Promise<SecretReaderFixture> => {
    const local = await openLocalSession()
    const { cloud, session } = local
    const known = new Set<string>()
    return {
      reader: createSecretsManagerReader({ client: session.clients.secretsManager, call: session.call }),
      store: (secretId, value) => {
        if (known.has(secretId)) return cloud.secrets.rotateSecret(secretId, value)
        known.add(secretId)
        return cloud.secrets.createSecret(secretId, value).versionId
      },
      refuse: (secretId) => {
        cloud.secrets.setDecryptable(secretId, false)
      },
      denyBatches: () => {
        withoutAction(cloud, 'secretsmanager:BatchGetSecretValue')
      },
      [Symbol.asyncDispose]: () => local[Symbol.asyncDispose](),
    }
  })
})
