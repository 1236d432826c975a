import { describe } from 'vitest'

import { createS3ArtifactSource } from '../../agent/aws/s3-artifact-source.ts'
import { FakeArtifactSource } from '../support/fake-artifact-source.ts'
import { openLocalSession } from '../support/local-session.ts'
import { artifactSourceContract, type ArtifactSourceFixture } from './artifact-source.ts'

describe('the fake artifact source', () => {
  artifactSourceContract(async () => {
    const source = new FakeArtifactSource('app/')
    return await Promise.resolve({
      source,
      put: (key, content) => {
        source.put(key, content)
      },
      putInParts: (key, parts) => {
        source.put(key, Buffer.concat(parts))
        source.checksumOf = () => ({ kind: 'none', why: 'it is of the parts' })
      },
      remove: (key) => {
        source.remove(key)
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    })
  })
})

describe('the artifact source on S3', () => {
  artifactSourceContract(async (): Promise<ArtifactSourceFixture> => {
    const local = await openLocalSession()
    const { cloud, session } = local
    const { bucket, accessPointArn: accessPoint } = cloud.names
    return {
      source: createS3ArtifactSource({ client: session.clients.s3, call: session.call, accessPoint, prefix: 'app/' }),
      put: async (key, body) => {
        await cloud.s3.putObject({ bucket, key, body })
      },
      putInParts: async (key, body) => {
        await cloud.s3.putObject({ bucket, key, body, checksum: 'SHA256' })
      },
      remove: (key) => cloud.s3.deleteObject({ bucket, key }),
      [Symbol.asyncDispose]: () => local[Symbol.asyncDispose](),
    }
  })
})
