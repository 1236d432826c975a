import { expect, it } from 'vitest'

import { forEachConcurrent } from '../../../agent/lib/for-each-concurrent.ts'

it('works on every item, as many at a time as it may, starting in order', async () => {
  const started: number[] = []
  let running = 0
  let most = 0
  await forEachConcurrent([1, 2, 3, 4, 5], 2, async (item) => {
    started.push(item)
    running += 1
    most = Math.max(most, running)
    await new Promise(setImmediate)
    running -= 1
  })
  expect(started).toEqual([1, 2, 3, 4, 5])
  expect(most).toBe(2)
})

it('starts nothing after a failure, waits for what runs and throws the first failure', async () => {
  const finished: number[] = []
  const work = async (item: number): Promise<void> => {
    if (item === 1) throw new Error('first')
    await new Promise(setImmediate)
    finished.push(item)
    throw new Error('later')
  }
  await expect(forEachConcurrent([1, 2, 3, 4], 2, work)).rejects.toThrow('first')
  expect(finished).toEqual([2])
})

it('does nothing for no items', async () => {
  await expect(forEachConcurrent([], 2, () => Promise.reject(new Error('called')))).resolves.toBeUndefined()
})
