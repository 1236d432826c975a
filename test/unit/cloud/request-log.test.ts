import { describe, expect, it } from 'vitest'

import { RequestLog, type RequestRecord } from '../../cloud/request-log.ts'

describe('RequestLog', () => {
  it('counts by any field and by time', () => {
    const log = new RequestLog()
    log.add(record({ service: 's3', action: 'GetObject', atMs: 1 }))
    log.add(record({ service: 's3', action: 'GetObject', status: 503, atMs: 2 }))
    log.add(record({ service: 'logs', action: 'PutLogEvents', thingName: 'dock-1', atMs: 3 }))

    expect(log.count()).toBe(3)
    expect(log.count({ service: 's3' })).toBe(2)
    expect(log.count({ service: 's3', status: 200 })).toBe(1)
    expect(log.count({ thingName: 'dock-1' })).toBe(1)
    expect(log.count({ sinceMs: 2 })).toBe(2)
    expect(log.countByAction()).toEqual(
      new Map([
        ['s3:GetObject', 2],
        ['logs:PutLogEvents', 1],
      ]),
    )
  })

  it('drops the oldest records above its bound, and says how many', () => {
    const log = new RequestLog(10)
    for (let atMs = 0; atMs < 25; atMs += 1) log.add(record({ atMs }))

    expect(log.count()).toBeLessThanOrEqual(10)
    expect(log.count() + log.dropped).toBe(25)
    expect(log.list().at(-1)?.atMs).toBe(24)
  })

  it('starts over when cleared', () => {
    const log = new RequestLog()
    log.add(record({}))
    log.clear()

    expect(log.list()).toEqual([])
  })
})

function record(change: Partial<RequestRecord>): RequestRecord {
  return {
    id: 'r',
    service: 's3',
    action: 'GetObject',
    atMs: 0,
    status: 200,
    requestBytes: 0,
    responseBytes: 0,
    host: 's3.localhost',
    path: '/',
    thingName: undefined,
    callerArn: undefined,
    ...change,
  }
}
