import { configValues, originOf } from '../../config/config-values.ts'
import { pathText } from '../../lib/json-object.ts'
import { digestOf } from '../../config/overlay-version.ts'
import type { MadeConfiguration } from './made-configuration.ts'
import type { ConfigurationPart, ConfigurationReport } from '../../status/status-document.ts'

const maxFaults = 20

/** Which configuration it is. */
export function configurationPart({ version, faults }: MadeConfiguration): ConfigurationPart {
  const job = version?.job
  return {
    version: version?.number ?? 0,
    digest: version?.digest ?? digestOf({}),
    state: version?.state === 'trial' ? 'trial' : faults.length > 0 ? 'fallback' : 'accepted',
    ...(job === undefined ? {} : { job: { jobId: job.jobId, executionNumber: job.executionNumber } }),
    faults: faults.slice(0, maxFaults),
  }
}

/** All of it, value by value. */
export function configurationReport(made: MadeConfiguration): ConfigurationReport {
  const { config, document, version } = made
  const sources = { document, overlay: version?.overlay ?? {} }
  return {
    version: 1,
    configuration: configurationPart(made),
    config,
    values: configValues(config).map(({ path, value }) => ({
      path: pathText(path),
      value,
      origin: originOf(path, sources),
    })),
  }
}
