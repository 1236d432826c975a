import { expect, test } from 'vitest'

import { FailedStarts } from '../../../../agent/request-handler/update/failed-starts.ts'

function observed(...states: readonly (readonly [string, number])[]): FailedStarts {
  const starts = new FailedStarts()
  for (const [active, restarts] of states) starts.observe({ active, restarts })
  return starts
}

test('counts what systemd starts again, from where it stood', () => {
  expect(observed(['active', 4], ['activating', 5], ['activating', 5], ['activating', 7]).count).toBe(3)
})

test('goes on counting when the count of systemd begins anew', () => {
  expect(observed(['active', 2], ['activating', 0], ['activating', 1], ['active', 1]).count).toBe(1)
})

test('counts a unit that lies there, and asks to start it', () => {
  const starts = new FailedStarts()
  const answers = Array.from({ length: 6 }, () => starts.observe({ active: 'failed', restarts: 0 }))
  expect(answers).toEqual([false, false, true, false, false, true])
  expect(starts.count).toBe(2)
})

test('does not take a restart for a unit that lies there', () => {
  expect(observed(['inactive', 0], ['inactive', 0], ['activating', 0], ['inactive', 0], ['active', 0]).count).toBe(0)
})
