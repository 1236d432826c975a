import * as z from 'zod'

/** The fields of a metrics record that can be published as metrics, beside DeviceActive, which always is. */
const metricNames = [
  'LogLagSeconds',
  'LogEventsLost',
  'LogBytesLost',
  'LogGapsPending',
  'LogBacklogBytes',
  'ArtifactsFailing',
  'ArtifactAgeSeconds',
  'ArtifactBytesFetched',
  'CamerasFailing',
  'CredentialExpirySeconds',
  'CertificateExpiryDays',
  'ClockOffsetSeconds',
  'WorkersOverdue',
  'MemoryRssBytes',
  'MemoryHeapBytes',
  'StateFreeBytes',
  'UptimeSeconds',
  'Generation',
  'TrafficBytes',
] as const

export const metricsSection = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe('Writes a record a minute to the log stream metrics, from which CloudWatch makes DeviceActive.'),
    intervalSeconds: z
      .int()
      .min(30)
      .max(3_600)
      .default(60)
      .describe('An alarm on DeviceActive needs a period that is no shorter.'),
    publish: z
      .array(z.enum(metricNames))
      .max(metricNames.length)
      .default([])
      .superRefine(onceEach)
      .describe('Fields of the record that become metrics as well. AWS bills each, for each appliance.'),
  })
  .prefault({})

function onceEach(names: readonly string[], context: z.RefinementCtx): void {
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) === index) continue
    context.addIssue({ code: 'custom', path: [index], message: `"${name}" is there twice` })
  }
}
