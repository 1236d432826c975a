import { CommanderError } from 'commander'

import type { TerminalContext } from './commands/command-context.ts'
import { createProgram } from './commands/command-line.ts'
import { ConfigError } from './config/config-error.ts'
import { AgentError, reportError, UsageError } from './lib/errors.ts'
import { exitNow } from './lib/exit-now.ts'
import { proxyEnvironment, type ProxyEnvironment } from './network/proxy-settings.ts'
import { DecommissionedError } from './reset/decommissioned-error.ts'
import type { ServiceEnvironment } from './composition/service.ts'

const stopWithinMs = 4_800

/** Exit codes as in sysexits.h: EX_USAGE and EX_CONFIG. Only `run` ends well when it is cut off. */
const exitCodes = { ok: 0, failed: 1, usage: 64, config: 78 } as const

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  const { message, hint } = reportError(error)
  process.stderr.write(`panorama-agent: ${message}\n${hint === undefined ? '' : `hint: ${hint}\n`}`)
  if (error instanceof UsageError) return exitCodes.usage
  return error instanceof ConfigError || error instanceof DecommissionedError ? exitCodes.config : exitCodes.failed
}

/** Everything ends within 5 seconds of the signal, also when something hangs. */
function stopOnSignal(stop: AbortController): void {
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      stop.abort(new AgentError(`interrupted by ${name}`))
      setTimeout(() => {
        process.stderr.write('panorama-agent: something did not stop in time and was cut off\n')
        exitNow(exitCodes.ok)
      }, stopWithinMs).unref()
    })
  }
}

/** The proxy is taken out of the environment, because it may hold a password. */
function takeProxyEnvironment(): ProxyEnvironment {
  const taken = proxyEnvironment((name) => process.env[name])
  for (const name of ['https_proxy', 'HTTPS_PROXY']) Reflect.deleteProperty(process.env, name)
  return taken
}

/** Taken out of the environment, so that no child of the agent can speak for it. */
function takeServiceEnvironment(): ServiceEnvironment {
  const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID, RUNTIME_DIRECTORY, STATE_DIRECTORY } = process.env
  const { PANORAMA_BOOT_ID, CREDENTIALS_DIRECTORY } = process.env
  const own = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID', 'CREDENTIALS_DIRECTORY']
  for (const name of own) Reflect.deleteProperty(process.env, name)
  const watchdogMs = Number(WATCHDOG_USEC) / 1_000
  const isWatched = watchdogMs > 0 && (WATCHDOG_PID === undefined || WATCHDOG_PID === String(process.pid))
  return {
    proxy: takeProxyEnvironment(),
    ...(NOTIFY_SOCKET === undefined ? {} : { notifySocket: NOTIFY_SOCKET }),
    ...(isWatched ? { watchdogMs } : {}),
    ...(RUNTIME_DIRECTORY === undefined ? {} : { runtimeDirectory: RUNTIME_DIRECTORY }),
    ...(STATE_DIRECTORY === undefined ? {} : { stateDirectory: STATE_DIRECTORY }),
    ...(PANORAMA_BOOT_ID === undefined ? {} : { bootId: PANORAMA_BOOT_ID }),
    ...(CREDENTIALS_DIRECTORY === undefined ? {} : { credentialsFolder: CREDENTIALS_DIRECTORY }),
  }
}

function terminalOf(stdout: NodeJS.WriteStream): TerminalContext {
  const { NO_COLOR: noColour = '', TERM: type = '' } = process.env
  const isScreen = stdout.isTTY && type !== 'dumb'
  return { isScreen, hasColours: isScreen && noColour === '', input: () => process.stdin }
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
    stderr: process.stderr,
    terminal: terminalOf(process.stdout),
    service: takeServiceEnvironment(),
    onHangup: (listener) => process.on('SIGHUP', listener),
  })
  const exitCode = await program.parseAsync(process.argv).then(() => exitCodes.ok, exitCodeOf)
  exitNow(exitCode)
}

void main()
