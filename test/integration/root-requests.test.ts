import { chown } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { RequestFiles } from '../../agent/root-requests/request-files.ts'
import type { RootRequest } from '../../agent/root-requests/root-requests.ts'
import { namesIn, requestBench, type RequestBench } from '../support/request-bench.ts'
import { until } from '../support/wait-until.ts'

const never = new AbortController().signal

/** Asks as the agent, and lets root act once the request is there. */
async function ask(bench: RequestBench, request: RootRequest): Promise<unknown> {
  const asked = new RequestFiles({ runtimeFolder: bench.runtimeFolder }).request(request, never)
  await until(async () => (await namesIn(bench.requestsFolder)).some((name) => name.endsWith('.json')))
  // where the tests run as root, they are not the agent
  const [name = ''] = (await namesIn(bench.requestsFolder)).filter((each) => each.endsWith('.json'))
  await chown(join(bench.requestsFolder, name), bench.agent.uid, bench.agent.gid)
  bench.clock.nowMs = Date.now()
  await bench.handle()
  return await asked
}

test('every verb gets from the agent to root and its answer back', async () => {
  await using bench = await requestBench()
  await bench.allow('restart-unit', 'app.service')
  await bench.allow('run-hook', 'flush')
  await bench.allow('set-clock')
  await bench.addHook('flush', '#!/bin/sh\nexit 5\n')
  const argument = new Date(Date.UTC(2027, 0, 1)).toISOString()
  expect(await ask(bench, { verb: 'reboot' })).toEqual({ result: 'done', code: 'ok' })
  expect(await ask(bench, { verb: 'restart-unit', argument: 'app.service' })).toEqual({ result: 'done', code: 'ok' })
  expect(await ask(bench, { verb: 'run-hook', argument: 'flush' })).toEqual({ result: 'failed', code: 'exit-code-5' })
  expect(await ask(bench, { verb: 'set-clock', argument })).toEqual({ result: 'done', code: 'ok' })
  expect(bench.clockSets).toHaveLength(1)
  expect(await bench.systemctlCalls()).toEqual(['reboot', 'restart -- app.service'])
  expect(await namesIn(bench.requestsFolder)).toEqual([])
  expect(await namesIn(bench.answersFolder)).toEqual([])
})

test('a refusal gets back to the agent', async () => {
  await using bench = await requestBench()
  expect(await ask(bench, { verb: 'restart-unit', argument: 'app.service' })).toEqual({
    result: 'refused',
    code: 'verb-not-allowed',
  })
})
