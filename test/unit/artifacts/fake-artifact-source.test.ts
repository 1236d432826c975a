import { describe } from 'vitest'

import { artifactSourceContract } from '../../contract/artifact-source.ts'
import { FakeArtifactSource } from '../../support/fake-artifact-source.ts'

describe('the fake artifact source', () => {
  artifactSourceContract(async () => {
    const source = new FakeArtifactSource('app/')
    source.chunkBytes = 65_536
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
