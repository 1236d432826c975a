#!/usr/bin/env node
import { Command, CommanderError, Option } from 'commander'

import { agentVersion } from './build-info.ts'
import { refresh, status, sync } from './commands/ask-agent.ts'
import { checkConfig } from './commands/check-config.ts'
import type { CommandContext } from './commands/command-context.ts'
import { run } from './commands/run.ts'
import { ConfigError } from './config/load-config.ts'
import { AgentError, reportError } from './lib/errors.ts'
import type { ServiceEnvironment } from './service.ts'

const defaultConfig = '/etc/panorama-agent/config.json'
const stopWithinMs = 4_800

/** Exit codes as in sysexits.h: EX_USAGE and EX_CONFIG. Only `run` ends well when it is cut off. */
const exitCodes = { ok: 0, failed: 1, usage: 64, config: 78 } as const

function createProgram(context: CommandContext): Command {
  const config = new Option('--config <file>', 'the configuration file')
    .default(defaultConfig)
    .env('PANORAMA_AGENT_CONFIG')
  const socket = new Option(
    '--socket <path>',
    "the running agent's socket, instead of looking it up in the configuration",
  )
  const program = new Command('panorama-agent')
    .description('Keeps a vision appliance in step with AWS: artifacts, camera credentials, logs.')
    .version(agentVersion)
    .exitOverride()
  program
    .command('run')
    .description('run the agent until SIGTERM or SIGINT')
    .addOption(config)
    .action(async (options: { config: string }) => {
      await run({ configFile: options.config }, context)
    })
  program
    .command('status')
    .description('show how the running agent is')
    .option('--json', 'the whole document, on one line', false)
    .addOption(config)
    .addOption(socket)
    .action(async ({ json, ...options }: { json: boolean; config: string; socket?: string }) => {
      await status({ ...located(options), json }, context)
    })
  program
    .command('config')
    .description('look at the configuration')
    .command('check')
    .description('check a configuration file; names every fault')
    .addOption(config)
    .action(async (options: { config: string }) => {
      await checkConfig({ configFile: options.config }, context)
    })
  for (const { name, argument, description, ask } of requests) {
    program
      .command(name)
      .description(description)
      .argument(`[${argument}]`, 'only this one; default all')
      .addOption(config)
      .addOption(socket)
      .action(async (chosen: string | undefined, options: { config: string; socket?: string }) => {
        await ask({ ...located(options), ...(chosen === undefined ? {} : { name: chosen }) }, context)
      })
  }
  return program
}

const requests = [
  { name: 'sync', argument: 'name', description: 'sync artifacts now', ask: sync },
  { name: 'refresh', argument: 'camera', description: 'refresh camera credentials now', ask: refresh },
]

function located({ config, socket }: { config: string; socket?: string }) {
  return { configFile: config, ...(socket === undefined ? {} : { socket }) }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  const { message, hint } = reportError(error)
  process.stderr.write(`panorama-agent: ${message}\n${hint === undefined ? '' : `hint: ${hint}\n`}`)
  return error instanceof ConfigError ? exitCodes.config : exitCodes.failed
}

/** Everything ends within 5 seconds of the signal, also when something hangs. */
function stopOnSignal(stop: AbortController): void {
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      stop.abort(new AgentError(`interrupted by ${name}`))
      setTimeout(() => {
        process.stderr.write('panorama-agent: something did not stop in time and was cut off\n')
        process.exit(exitCodes.ok)
      }, stopWithinMs).unref()
    })
  }
}

/** Taken out of the environment, so that no child of the agent can speak for it. */
function takeServiceEnvironment(): ServiceEnvironment {
  const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID, RUNTIME_DIRECTORY } = process.env
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) Reflect.deleteProperty(process.env, name)
  const watchdogMs = Number(WATCHDOG_USEC) / 1_000
  const isWatched = watchdogMs > 0 && (WATCHDOG_PID === undefined || WATCHDOG_PID === String(process.pid))
  return {
    ...(NOTIFY_SOCKET === undefined ? {} : { notifySocket: NOTIFY_SOCKET }),
    ...(isWatched ? { watchdogMs } : {}),
    ...(RUNTIME_DIRECTORY === undefined ? {} : { runtimeDirectory: RUNTIME_DIRECTORY }),
  }
}

/** A reader of the output that goes away (a pager, a restarted journal) must not end the agent. */
function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
}

async function main(): Promise<void> {
  process.umask(0o077)
  outliveReaders()
  const stop = new AbortController()
  stopOnSignal(stop)
  const program = createProgram({
    signal: stop.signal,
    stdout: process.stdout,
    service: takeServiceEnvironment(),
    onHangup: (listener) => process.on('SIGHUP', listener),
  })
  const exitCode = await program.parseAsync(process.argv).then(() => exitCodes.ok, exitCodeOf)
  process.exit(exitCode)
}

void main()
