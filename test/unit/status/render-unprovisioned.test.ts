import { expect, test } from 'vitest'

import { renderStatus } from '../../../agent/status/render-status.ts'
import { isUnprovisioned } from '../../../agent/status/render-unprovisioned.ts'
import { statusLine } from '../../../agent/status/status-line.ts'
import { statusDocument, unprovisionedStatus } from '../../support/status-document.ts'

const status = unprovisionedStatus()

test('shows what keeps an appliance from an identity, and what to do, before anything else', () => {
  expect(renderStatus(status).split('\n')).toEqual([
    'Not provisioned: register: RegisterThing: 403 AccessDenied',
    'To do: ask the hook',
    '',
    'agent        running     version 1.0.0, pid 7, for 1 min',
    'device                   no identity yet, region us-west-2',
    'clock        unconfirmed 2026-11-28 00:01:00 UTC, no server has told the time yet',
    'provisioning failing     step register, template panorama-appliance, claim /etc/panorama-agent/claim/certificate.pem, ' +
      'for 30 s, next attempt in 1 min',
    '             error       RegisterThing: 403 AccessDenied',
    '             hint        ask the hook',
    '',
  ])
})

test('is laid out as wide as the terminal is, in colours, and hands no control characters on', () => {
  const evil = { ...status.provisioning, lastError: { name: 'E', message: 'no \u001b[2Jentry' } }
  const paint = (emphasis: string, text: string): string => `<${emphasis}>${text}</>`
  const text = renderStatus({ ...status, provisioning: evil }, { width: 60, paint })
  expect(text).toContain('<bad>Not provisioned: register: no ')
  expect(text).toContain('<bad>failing    </>')
  expect(text).toContain('<doubtful>unconfirmed</>')
  expect(text).not.toContain('\u001b')
  const widest = Math.max(
    ...renderStatus(status, { width: 60 })
      .split('\n')
      .map((line) => line.length),
  )
  expect(widest).toBeLessThanOrEqual(60)
})

test('has nothing to do while the first attempt is under way, and says when the clock is off', () => {
  const { claim, step, template } = status.provisioning
  const starting = { ...status, provisioning: { state: 'starting', claim, step, template } }
  expect(renderStatus(starting).split('\n').slice(0, 2)).toEqual(['Not provisioned: register', ''])
  const off = { ...starting, clock: { ...status.clock, offsetSeconds: 7_200 } }
  expect(renderStatus(off)).toContain('Note: the system clock is 2 h behind: see to its synchronisation')
})

test('tells systemd in one line', () => {
  expect(statusLine(status)).toBe('Not provisioned: register: RegisterThing: 403 AccessDenied')
  expect(statusLine({ ...status, overdue: ['provisioning'] })).toBe('Stuck: provisioning')
})

test('is told from that of an appliance with an identity', () => {
  expect(isUnprovisioned(status)).toBe(true)
  expect(isUnprovisioned(statusDocument())).toBe(false)
})
