type Section = Readonly<Record<string, unknown>>

export interface ConfigDocument {
  readonly device: Section
  readonly identity: Section
  readonly endpoints: Section
  readonly role: Section
  readonly artifacts: readonly Section[]
  readonly cameras: { readonly refreshSeconds: number; readonly streams: readonly Section[] }
  readonly logs: Section
  readonly paths: Section
}

/** A configuration file with an entry of every kind, as its JSON. */
export function configDocument(): ConfigDocument {
  return {
    device: {
      thingName: 'panorama_dock-1_Thing_a01e373b',
      id: 'device-4tafxmplhtmzabv5lsacba4ere',
      name: 'dock-1',
      region: 'us-west-2',
    },
    identity: {
      certificate: '/etc/panorama-agent/identity/certificate.pem',
      privateKey: '/etc/panorama-agent/identity/private.key',
      rootCa: '/etc/panorama-agent/identity/root-ca.pem',
    },
    endpoints: {
      credentials: 'c1.credentials.iot.us-west-2.amazonaws.com',
      mqtt: 'a1-ats.iot.us-west-2.amazonaws.com',
    },
    role: { alias: 'panorama-appliance' },
    artifacts: [
      {
        name: 'people-counter',
        accessPoint: 'arn:aws:s3:us-west-2:123456789012:accesspoint/panorama-123456789012-abc',
        prefix: 'people-counter/',
        pollSeconds: 300,
      },
    ],
    cameras: { refreshSeconds: 300, streams: [{ name: 'dock-3', secretId: 'panorama/shared/dock-3' }] },
    logs: { flushSeconds: 15, sources: [{ kind: 'file', path: '/opt/aws/panorama/logs/*.log' }] },
    paths: { state: '/var/lib/panorama-agent', runtime: '/run/panorama-agent' },
  }
}
