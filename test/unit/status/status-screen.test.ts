import { expect, test } from 'vitest'

import { noPaint } from '../../../agent/lib/terminal-text.ts'
import { screenLines, type ScreenContent } from '../../../agent/status/status-screen.ts'
import { statusDocument, unprovisionedStatus } from '../../support/status-document.ts'

const cameras = Array.from({ length: 8 }, (_, index) => ({ name: `dock-${index}`, state: 'ok', versionId: 'v1' }))
const lastError = { name: 'AgentError', message: 'denied', hint: 'allow it' }
const failing = { name: 'gate', state: 'failing', lastError }
const transfer = { what: 'artifact model: downloading', bytes: 1_000_000, totalBytes: 4_000_000 }
const silence = { reason: 'no agent answers at /run/agent.sock', seconds: 61 }

function shown(content: Partial<ScreenContent>, width = 80, height = 24): readonly string[] {
  return screenLines({ status: statusDocument(), transfers: [], ...content }, { width, height, paint: noPaint })
}

test('shows device and time, the verdict, what is on its way, and the parts', () => {
  expect(shown({ transfers: [transfer] }).slice(0, 8)).toEqual([
    `${'dock-1  2027-01-01 01:00:00 UTC'.padEnd(74)}q ends`,
    'All well: 0 artifacts, 0 cameras, 0 log files',
    '',
    'artifact model: downloading 1.0 MB of 4.0 MB',
    `  [${'#'.repeat(17)}${'.'.repeat(53)}]  25 %`,
    '',
    'agent    running version 0.1.0, pid 42, for 1 h',
    'device           dock-1, thing thing-1, id device-1, region us-west-2',
  ])
})

test('shows an appliance without identity, with what it lacks', () => {
  expect(shown({ status: unprovisionedStatus() }).slice(0, 5)).toEqual([
    `${'panorama-agent  2026-11-28 00:01:00 UTC'.padEnd(74)}q ends`,
    'Not provisioned: register: RegisterThing: 403 AccessDenied',
    'To do: ask the hook',
    '',
    'agent        running     version 1.0.0, pid 7, for 1 min',
  ])
})

test('leaves out what is well where there is no room, and says how much', () => {
  const lines = shown({ status: statusDocument({ cameras: [...cameras, failing] }) }, 80, 14)
  expect(lines).toHaveLength(14)
  expect(lines.filter((line) => line.startsWith('camera gate'))).toHaveLength(1)
  expect(lines.some((line) => line.includes('hint    allow it'))).toBe(true)
  expect(lines.at(-1)).toBe('... and 7 that are well')
})

test('says where the rest is when not even what fails has room', () => {
  const many = Array.from({ length: 30 }, (_, index) => ({ ...failing, name: `gate-${index}` }))
  expect(shown({ status: statusDocument({ cameras: many }) }).at(-1)).toBe('... panorama-agent status shows all')
})

test('is never larger than the screen', () => {
  const status = statusDocument({
    cameras: [...cameras, failing],
    device: { ...statusDocument().device, name: 'x'.repeat(99) },
  })
  const transfers = Array.from({ length: 9 }, (_, index) => ({ ...transfer, what: `artifact ${index}: downloading` }))
  for (const width of [30, 80, 200]) {
    for (const height of [1, 2, 5, 10, 24, 60]) {
      for (const content of [
        { status, transfers },
        { status, silence },
        { status: undefined, silence },
      ]) {
        const lines = shown(content, width, height)
        expect(lines.length).toBeLessThanOrEqual(height)
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(width)
      }
    }
  }
})

test('says that nobody answers, for how long, and shows how it was', () => {
  const lines = shown({ silence, transfers: [transfer] })
  expect(lines.slice(1, 5)).toEqual([
    'No answer: no agent answers at /run/agent.sock',
    'It was stopped, or is starting again: asked every second for 1 min. As it was:',
    '',
    'agent    running version 0.1.0, pid 42, for 1 h',
  ])
  expect(shown({ status: undefined, silence })).toHaveLength(3)
})
