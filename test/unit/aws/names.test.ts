import type { LookupAddress } from 'node:dns'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { sessionNameFor } from '../../../agent/aws/chained-credential-source.ts'
import { loopbackLookup } from '../../../agent/aws/loopback-lookup.ts'

interface Found {
  readonly error: NodeJS.ErrnoException | null
  readonly address: string | LookupAddress[] | undefined
  readonly family: number | undefined
}

async function look(hostname: string, all: boolean): Promise<Found> {
  const { promise, resolve } = Promise.withResolvers<Found>()
  loopbackLookup(hostname, { all }, (error, address, family) => {
    resolve({ error, address, family })
  })
  return await promise
}

const both = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
]

describe('lookup', () => {
  test.each(['localhost', 's3.localhost', 'a.b.s3.localhost', 'S3.LOCALHOST', 's3.localhost.'])(
    'finds %s on loopback, over both protocols, in both forms of the callback',
    async (hostname) => {
      expect(await look(hostname, false)).toEqual({ error: null, address: '127.0.0.1', family: 4 })
      const { error, address } = await look(hostname, true)
      expect({ error, address }).toEqual({ error: null, address: both })
    },
  )

  test('leaves every other name to the system', async () => {
    expect(await look('192.0.2.7', false)).toMatchObject({ error: null, address: '192.0.2.7', family: 4 })
  })

  test('does not take a name for loopback that only looks like it', async () => {
    const tooLongToAsk = 'x'.repeat(300)
    for (const hostname of [`${tooLongToAsk}localhost`, `localhost.${tooLongToAsk}`]) {
      expect(await look(hostname, false)).toMatchObject({ address: undefined })
    }
  })
})

describe('session names', () => {
  test('are the thing name where it fits', () => {
    expect(sessionNameFor('panorama_dock-1_Thing')).toBe('panorama_dock-1_Thing')
  })

  test('have - for what may not stand there', () => {
    expect(sessionNameFor('site:dock:1')).toBe('site-dock-1')
  })

  test('are cut where STS ends them', () => {
    expect(sessionNameFor('a'.repeat(128))).toBe('a'.repeat(64))
  })

  test('fit the pattern of RoleSessionName for every thing name', () => {
    const thingNames = fc.stringMatching(/^[A-Za-z0-9:_-]{1,128}$/)
    fc.assert(
      fc.property(thingNames, (thingName) => {
        expect(sessionNameFor(thingName)).toMatch(/^[\w+=,.@-]{2,64}$/)
      }),
    )
  })
})
