import { expect, test } from 'vitest'

import type { LogDestination, LogEvent, LogTarget } from '../../agent/logs/log-destination.ts'

/** A destination without groups, and what the test needs to look into it. */
export interface LogDestinationHarness extends AsyncDisposable {
  readonly destination: LogDestination
  readonly cloudNow: () => number
  /** A group name that may be made there. */
  readonly group: string
  readonly read: (target: LogTarget) => Promise<readonly LogEvent[]>
}

/** What every LogDestination promises; run by the fake and by the adapter. */
export function testLogDestination(open: () => Promise<LogDestinationHarness>): void {
  const signal = new AbortController().signal
  const dayMs = 86_400_000

  test('answers no-stream to a batch for a stream that is missing', async () => {
    await using cloud = await open()
    const target = { group: cloud.group, stream: 'app' }
    const events = [{ timestampMs: cloud.cloudNow(), message: 'a' }]
    expect(await cloud.destination.put(target, events, signal)).toEqual({ kind: 'no-stream' })
    await cloud.destination.createGroup(cloud.group, signal)
    expect(await cloud.destination.put(target, events, signal)).toEqual({ kind: 'no-stream' })
  })

  test('makes a group and a stream, and says when they are there already or the group is not', async () => {
    await using cloud = await open()
    const target = { group: cloud.group, stream: 'app' }
    expect(await cloud.destination.createStream(target, signal)).toBe('no-group')
    expect(await cloud.destination.createGroup(cloud.group, signal)).toBe('created')
    expect(await cloud.destination.createGroup(cloud.group, signal)).toBe('exists')
    expect(await cloud.destination.createStream(target, signal)).toBe('created')
    expect(await cloud.destination.createStream(target, signal)).toBe('exists')
  })

  test('stores the events of a batch as they are', async () => {
    await using cloud = await openWithStream(open)
    const nowMs = cloud.cloudNow()
    const events = [
      { timestampMs: nowMs - 1_000, message: 'first \u{1F4F7}' },
      { timestampMs: nowMs, message: 'second' },
    ]
    const accepted = { kind: 'accepted', rejected: { tooOld: 0, tooNew: 0, expired: 0 } }
    expect(await cloud.destination.put(cloud.target, events, signal)).toEqual(accepted)
    expect(await cloud.read(cloud.target)).toEqual(events)
  })

  test('stores a full batch as it is, whatever its characters', async () => {
    await using cloud = await openWithStream(open)
    const nowMs = cloud.cloudNow()
    const message = 'frame 17 \u0001 "dock 3" \\ zażółć \u2028 \u{1F4F7}'
    const events = Array.from({ length: 10_000 }, (_, index) => ({
      timestampMs: nowMs,
      message: `${index} ${message}`,
    }))
    expect(await cloud.destination.put(cloud.target, events, signal)).toMatchObject({ kind: 'accepted' })
    expect(await cloud.read(cloud.target)).toEqual(events)
  })

  test('counts events that are too old and keeps the rest of the batch', async () => {
    await using cloud = await openWithStream(open)
    const oldMs = cloud.cloudNow() - 15 * dayMs
    const old = [oldMs, oldMs + 1].map((timestampMs) => ({ timestampMs, message: 'old' }))
    const accepted = { kind: 'accepted', rejected: { tooOld: 2, tooNew: 0, expired: 0 } }
    expect(await cloud.destination.put(cloud.target, old, signal)).toEqual(accepted)
    expect(await cloud.read(cloud.target)).toEqual([])
  })

  test('counts events that are too new and keeps the rest of the batch', async () => {
    await using cloud = await openWithStream(open)
    const good = { timestampMs: cloud.cloudNow(), message: 'now' }
    const early = { timestampMs: cloud.cloudNow() + 3 * 3_600_000, message: 'early' }
    const accepted = { kind: 'accepted', rejected: { tooOld: 0, tooNew: 1, expired: 0 } }
    expect(await cloud.destination.put(cloud.target, [good, early], signal)).toEqual(accepted)
    expect(await cloud.read(cloud.target)).toEqual([good])
  })

  test('rejects once its signal has aborted', async () => {
    await using cloud = await openWithStream(open)
    const events = [{ timestampMs: cloud.cloudNow(), message: 'a' }]
    await expect(cloud.destination.put(cloud.target, events, AbortSignal.abort())).rejects.toThrow()
    expect(await cloud.read(cloud.target)).toEqual([])
  })
}

async function openWithStream(
  open: () => Promise<LogDestinationHarness>,
): Promise<LogDestinationHarness & { readonly target: LogTarget }> {
  const cloud = await open()
  const target = { group: cloud.group, stream: 'app' }
  await cloud.destination.createGroup(cloud.group, new AbortController().signal)
  await cloud.destination.createStream(target, new AbortController().signal)
  return { ...cloud, target, [Symbol.asyncDispose]: () => cloud[Symbol.asyncDispose]() }
}
