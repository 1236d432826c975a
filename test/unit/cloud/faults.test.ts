import { describe, expect, it } from 'vitest'

import { createLookup } from '../../cloud/cloud-lookup.ts'
import { Faults } from '../../cloud/faults.ts'

describe('Faults', () => {
  it('hit only the service and action that they name', () => {
    const faults = new Faults()
    faults.inject({ kind: 'reset' }, { service: 's3', action: 'GetObject' })

    expect(faults.takeForRequest('s3', 'ListObjectsV2')).toEqual([])
    expect(faults.takeForRequest('logs', 'GetObject')).toEqual([])
    expect(faults.takeForRequest('s3', 'GetObject')).toEqual([{ kind: 'reset' }])
  })

  it('are used up after their count', () => {
    const faults = new Faults()
    const fault = faults.inject({ kind: 'reset' }, { count: 2 })

    const hits = Array.from({ length: 3 }, () => faults.takeForRequest('s3', 'GetObject').length)

    expect(hits).toEqual([1, 1, 0])
    expect(fault.hits).toBe(2)
  })

  it('can hit one request together, and end together', () => {
    const faults = new Faults()
    faults.inject({ kind: 'latency', delayMs: 1 })
    faults.inject({ kind: 'cut', afterBytes: 1 })

    expect(faults.takeForRequest('s3', 'GetObject')).toHaveLength(2)
    faults.clear()
    expect(faults.takeForRequest('s3', 'GetObject')).toHaveLength(0)
  })
})

describe('the lookup function', () => {
  it.each(['localhost', 'logs.localhost', 'a-123456789012.s3.localhost', 'LOCALHOST'])(
    'resolves %s to loopback',
    async (host) => {
      expect(await resolve(host)).toEqual(['127.0.0.1', 4])
      expect(await resolve(host, { all: true })).toEqual([[{ address: '127.0.0.1', family: 4 }], undefined])
    },
  )

  it.each(['example.com', 'notlocalhost', 'localhost.example.com'])('knows no %s', async (host) => {
    await expect(resolve(host)).rejects.toMatchObject({ code: 'ENOTFOUND', hostname: host })
  })

  it('fails for the one host that a dns fault names', async () => {
    const faults = new Faults()
    faults.inject({ kind: 'dns', code: 'EAI_AGAIN', host: 'logs.localhost' })

    await expect(resolve('logs.localhost', {}, faults)).rejects.toMatchObject({ code: 'EAI_AGAIN' })
    expect(await resolve('sts.localhost', {}, faults)).toEqual(['127.0.0.1', 4])
  })

  it('leaves dns faults out of requests, and request faults out of lookups', async () => {
    const faults = new Faults()
    faults.inject({ kind: 'dns', code: 'ENOTFOUND', host: 'other.localhost' })
    faults.inject({ kind: 'reset' })

    expect(faults.takeForRequest('s3', 'GetObject')).toEqual([{ kind: 'reset' }])
    expect(await resolve('localhost', {}, faults)).toEqual(['127.0.0.1', 4])
  })
})

async function resolve(
  host: string,
  options: { all?: boolean } = {},
  faults = new Faults(),
): Promise<readonly unknown[]> {
  return new Promise((done, fail) => {
    createLookup(faults)(host, options, (error, address, family) => {
      if (error === null) done([address, family])
      else fail(error)
    })
  })
}
