import { expect, test } from 'vitest'

import { isUnprovisioned, renderUnprovisioned } from '../../../agent/status/render-unprovisioned.ts'
import type { UnprovisionedStatus } from '../../../agent/status/status-document.ts'
import { statusLine } from '../../../agent/status/status-line.ts'
import { statusDocument } from '../../support/status-document.ts'

const status: UnprovisionedStatus = {
  version: 1,
  agent: { version: '1.0.0', pid: 7, startedAt: '2026-11-28T00:00:00.000Z' },
  device: { region: 'us-west-2' },
  clock: { now: '2026-11-28T00:01:00.000Z', offsetSeconds: 0, known: false },
  provisioning: {
    state: 'failing',
    since: '2026-11-28T00:00:30.000Z',
    step: 'register',
    template: 'panorama-appliance',
    claim: '/etc/panorama-agent/claim/certificate.pem',
    lastError: { name: 'ProvisioningError', message: 'RegisterThing: 403 AccessDenied', hint: 'ask the hook' },
    nextAttemptAt: '2026-11-28T00:02:00.000Z',
  },
  overdue: [],
}

test('shows what keeps an appliance from an identity, and what to do', () => {
  expect(
    renderUnprovisioned(status)
      .split('\n')
      .map((line) => line.replace(/ +/g, ' ')),
  ).toEqual([
    'agent running version 1.0.0, pid 7, since 2026-11-28T00:00:00.000Z',
    'device none not provisioned, region us-west-2',
    'clock unconfirmed 2026-11-28T00:01:00.000Z',
    'provisioning failing step register, template panorama-appliance, claim /etc/panorama-agent/claim/certificate.pem, ' +
      'since 2026-11-28T00:00:30.000Z, next attempt 2026-11-28T00:02:00.000Z',
    ' error RegisterThing: 403 AccessDenied',
    ' hint ask the hook',
    '',
  ])
})

test('tells systemd in one line', () => {
  expect(statusLine(status)).toBe('Not provisioned: register: RegisterThing: 403 AccessDenied')
  expect(statusLine({ ...status, overdue: ['provisioning'] })).toBe('Stuck: provisioning')
})

test('is told from that of an appliance with an identity', () => {
  expect(isUnprovisioned(status)).toBe(true)
  expect(isUnprovisioned(statusDocument())).toBe(false)
})
