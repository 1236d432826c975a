import { configurationReport } from '../composition/configuration/configuration-report.ts'
import { NoAgentError } from '../status/status-client.ts'
import type { ConfigurationReport } from '../status/status-document.ts'
import { askFor, type AgentLocation } from './ask-agent.ts'
import type { CommandContext } from './command-context.ts'
import { readConfiguration } from './read-configuration.ts'

export interface ShowConfigOptions extends AgentLocation {
  /** Where each value is from, as well. */
  readonly origin: boolean
  readonly json: boolean
}

const withinMs = 10_000

/**
 * `panorama-agent config show [--origin] [--json]`: the configuration that the running agent uses, or, where none runs, the
 * one that it would start with.
 */
export async function showConfig(options: ShowConfigOptions, context: CommandContext): Promise<void> {
  const { stdout, stderr, signal } = context
  const report = await askReport(options, signal).catch(async (error: unknown) => {
    if (!(error instanceof NoAgentError) || options.socket !== undefined) throw error
    const made = await readConfiguration(options.configFile)
    for (const { path, message } of made.overlayWarning) stderr.write(`warning: ${path}: ${message}\n`)
    return configurationReport(made)
  })
  stdout.write(options.json ? `${JSON.stringify(documentOf(report, options))}\n` : textOf(report, options))
}

async function askReport(location: AgentLocation, signal: AbortSignal): Promise<ConfigurationReport> {
  return await askFor(location, { method: 'GET', path: '/configuration', withinMs, signal }, isReport)
}

function documentOf(report: ConfigurationReport, { origin }: ShowConfigOptions): Partial<ConfigurationReport> {
  if (origin) return report
  const { version, configuration, config } = report
  return { version, configuration, config }
}

function textOf({ configuration, values }: ConfigurationReport, { origin }: ShowConfigOptions): string {
  const { version, state, digest, job, faults } = configuration
  const by = job === undefined ? '' : `, job ${job.jobId}`
  const overlay = `configuration version ${version}${by}`
  const head = version === 0 ? `the base file alone (${state})` : `${overlay} (${state}), digest ${digest}`
  const origins = { base: 'base file', overlay, default: 'default' }
  const lines = values.map((each) => {
    const line = `${each.path} = ${JSON.stringify(each.value)}`
    return origin ? `${line.padEnd(60)} # ${origins[each.origin]}` : line
  })
  const faultLines = faults.map(({ path, message }) => `# fault: ${path === '' ? message : `${path}: ${message}`}`)
  return `${[`# ${head}`, ...faultLines, ...lines].join('\n')}\n`
}

function isReport(body: unknown): body is ConfigurationReport {
  return typeof body === 'object' && body !== null && 'config' in body && 'version' in body && body.version === 1
}
