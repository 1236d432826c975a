import type {
  ConfigurationReport,
  LogsPart,
  StatusDocument,
  UnprovisionedStatus,
} from '../../agent/status/status-document.ts'

/** A status document in which all is well, with `change` on top. */
export function statusDocument(change: Partial<StatusDocument> = {}): StatusDocument {
  return {
    version: 1,
    agent: { version: '0.1.0', pid: 42, startedAt: '2027-01-01T00:00:00.000Z' },
    device: { thingName: 'thing-1', id: 'device-1', name: 'dock-1', region: 'us-west-2' },
    clock: { now: '2027-01-01T01:00:00.000Z', offsetSeconds: 0, known: true },
    identity: { state: 'ok', origin: 'seed', certificateExpiresAt: '2049-12-31T23:59:59.000Z' },
    credentials: [],
    artifacts: [],
    cameras: [],
    applications: [],
    logs: logsPart(),
    overdue: [],
    ...change,
  }
}

/** The status of an appliance whose claim is refused, with `change` on top. */
export function unprovisionedStatus(change: Partial<UnprovisionedStatus> = {}): UnprovisionedStatus {
  return {
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
    ...change,
  }
}

/** The logs of an agent that has nothing to do, with `change` on top. */
export function logsPart(change: Partial<LogsPart> = {}): LogsPart {
  const nothing = { accepted: 0, lost: 0, lostBytes: 0, leftOut: 0, leftOutBytes: 0, pendingBytes: 0, gapsPending: 0 }
  return { state: 'ok', group: '/group', ...nothing, catchingUp: false, sources: [], ...change }
}

/** A configuration of one value, from a remote overlay. */
export function configurationReport(change: Partial<ConfigurationReport> = {}): ConfigurationReport {
  return {
    version: 1,
    configuration: { version: 3, digest: 'd1gest', state: 'accepted', faults: [] },
    config: { logs: { flushSeconds: 5 } },
    values: [{ path: 'logs.flushSeconds', value: 5, origin: 'overlay' }],
    ...change,
  }
}
