import { expect, it } from 'vitest'

import { createHookRunner } from '../../../../agent/composition/generation/hook-runner.ts'
import { FakeRootRequests } from '../../../support/fake-root-requests.ts'

const { signal } = new AbortController()

it('asks root for the hook, and believes that it is done', async () => {
  const requests = new FakeRootRequests()
  expect(await createHookRunner(requests)('check', signal)).toEqual({ healthy: true })
  expect(requests.asked).toEqual([{ verb: 'run-hook', argument: 'check' }])
})

it.each([
  ['no answer', 'not-taken', /hook check: no answer, not-taken: nobody takes requests.*request\.path/],
  ['no answer', 'taken', /hook check: no answer, taken: journalctl/],
  ['refused', 'argument-not-allowed', /hook check: refused, argument-not-allowed: list it in .*allowed\/run-hook/],
  ['failed', 'exit-1', /hook check: failed, exit-1: journalctl/],
] as const)('takes %s, %s for not healthy, and says what to do', async (result, code, why) => {
  const requests = new FakeRootRequests()
  requests.answer = () => ({ result, code })
  const verdict = await createHookRunner(requests)('check', signal)
  expect(verdict).toEqual({ healthy: false, why: expect.stringMatching(why) as string })
})
