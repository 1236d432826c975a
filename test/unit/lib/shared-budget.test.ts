import fc from 'fast-check'
import { expect, it } from 'vitest'

import { SharedBudget } from '../../../agent/lib/shared-budget.ts'

const { signal } = new AbortController()

it('gives everything to the only sharer', async () => {
  const share = new SharedBudget(4, 1).share()
  for (let taken = 0; taken < 4; taken += 1) await share.acquire(1, signal)
  expect(await isGranted(share.acquire(1, signal))).toBe(false)
})

it('keeps a part for each sharer that no other one can hold', async () => {
  const budget = new SharedBudget(8, 2)
  const [greedy, other] = [budget.share(), budget.share()]
  const requests = Array.from({ length: 10 }, () => greedy.acquire(1, signal))
  expect(await Promise.all(requests.map(isGranted))).toEqual(requests.map((_, index) => index < 6))
  expect(await isGranted(other.acquire(2, signal))).toBe(true)
})

it('hands on what is given back, past those who want more than there is', async () => {
  const budget = new SharedBudget(8, 2)
  const [one, other] = [budget.share(), budget.share()]
  const held = await one.acquire(1, signal)
  for (let taken = 1; taken < 6; taken += 1) await one.acquire(1, signal)
  const large = one.acquire(2, signal)
  const small = one.acquire(1, signal)
  held[Symbol.dispose]()
  held[Symbol.dispose]()
  expect(await isGranted(small)).toBe(true)
  expect(await isGranted(large)).toBe(false)
  expect(await isGranted(other.acquire(2, signal))).toBe(true)
})

it('rejects with the reason of the signal, and forgets who waited', async () => {
  const share = new SharedBudget(2, 1).share()
  const held = await share.acquire(1, signal)
  await share.acquire(1, signal)
  const controller = new AbortController()
  const waiting = share.acquire(1, controller.signal)
  controller.abort(new Error('stop'))
  await expect(waiting).rejects.toThrow('stop')
  held[Symbol.dispose]()
  expect(await isGranted(share.acquire(1, signal))).toBe(true)
})

it('never gives out more than there is', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ sharer: fc.nat(2), amount: fc.integer({ min: 1, max: 5 }), gives: fc.boolean() })),
      async (steps) => {
        const budget = new SharedBudget(30, 3)
        const shares = [budget.share(), budget.share(), budget.share()]
        const held: { readonly amount: number; readonly lease: Disposable }[] = []
        const outstanding: Promise<unknown>[] = []
        for (const { sharer, amount, gives } of steps) {
          const request = shares[sharer]?.acquire(amount, signal).then((lease) => held.push({ amount, lease }))
          outstanding.push(request ?? Promise.resolve())
          if (gives) held.shift()?.lease[Symbol.dispose]()
          await new Promise(setImmediate)
          expect(held.reduce((sum, each) => sum + each.amount, 0)).toBeLessThanOrEqual(30)
        }
        const all = Promise.all(outstanding).then(() => 'granted')
        const giveBack = async (): Promise<unknown> => {
          held.shift()?.lease[Symbol.dispose]()
          return await Promise.race([all, new Promise(setImmediate)])
        }
        for (let turn = 0; turn <= steps.length && (await giveBack()) !== 'granted';) turn += 1
        expect(await giveBack()).toBe('granted')
      },
    ),
    { numRuns: 30 },
  )
})

async function isGranted(request: Promise<Disposable>): Promise<boolean> {
  request.catch(() => undefined)
  return await Promise.race([request.then(() => true), new Promise<boolean>((resolve) => setImmediate(resolve, false))])
}
