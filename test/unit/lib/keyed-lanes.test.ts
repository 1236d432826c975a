import { setImmediate as turn } from 'node:timers/promises'

import { expect, test } from 'vitest'

import { KeyedLanes } from '../../../agent/lib/keyed-lanes.ts'

interface Job {
  readonly done: PromiseWithResolvers<undefined>
  readonly run: () => Promise<void>
}

function jobs(started: string[]): (name: string) => Job {
  return (name) => {
    const done = Promise.withResolvers<undefined>()
    const run = async (): Promise<void> => {
      started.push(name)
      await done.promise
    }
    return { done, run }
  }
}

test('runs as many at a time as it may, and the next as soon as one has ended', async () => {
  const started: string[] = []
  const [a, b, c] = ['a', 'b', 'c'].map(jobs(started))
  const lanes = new KeyedLanes(2)
  lanes.add('1', a?.run ?? (() => Promise.resolve()))
  lanes.add('2', b?.run ?? (() => Promise.resolve()))
  lanes.add('3', c?.run ?? (() => Promise.resolve()))
  await turn()
  expect(started).toEqual(['a', 'b'])
  b?.done.resolve(undefined)
  await turn()
  expect(started).toEqual(['a', 'b', 'c'])
})

test('runs one of a key at a time, in order, and lets others pass', async () => {
  const started: string[] = []
  const make = jobs(started)
  const [first, second, other] = [make('first'), make('second'), make('other')]
  const lanes = new KeyedLanes(8)
  lanes.add('host', first.run)
  lanes.add('host', second.run)
  lanes.add('another', other.run)
  await turn()
  expect(started).toEqual(['first', 'other'])
  first.done.resolve(undefined)
  await turn()
  expect(started).toEqual(['first', 'other', 'second'])
})

test('is idle when all has ended, also what was added by a job', async () => {
  const started: string[] = []
  const make = jobs(started)
  const late = make('late')
  const lanes = new KeyedLanes(1)
  lanes.add('a', async () => {
    await turn()
    lanes.add('b', late.run)
  })
  let isIdle = false
  const idle = lanes.idle().then(() => {
    isIdle = true
  })
  await turn()
  await turn()
  expect([started, isIdle]).toEqual([['late'], false])
  late.done.resolve(undefined)
  await idle
  expect(isIdle).toBe(true)
})
