import { Command, InvalidArgumentError, Option } from 'commander'

import { agentVersion } from '../build-info.ts'
import type { CommandContext } from './command-context.ts'
import type { ProvisionOptions } from './provisioning-input.ts'
import type { PublishCommand } from './publish.ts'
import type { ResetOptions } from './reset.ts'

const defaultConfig = '/etc/panorama-agent/config.json'
const maxLines = 2_000

/**
 * The command line: every command with its options. Throws a CommanderError instead of ending the process. What a command
 * does is loaded only when it is asked for: loading all of it takes longer than most commands.
 */
export function createProgram(context: CommandContext): Command {
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
    .enablePositionalOptions() // so that publish can have a --version of its own
  program
    .command('run')
    .description('run the agent until SIGTERM or SIGINT')
    .addOption(config)
    .action(async (options: { config: string }) => {
      const { run } = await import('./run.ts')
      await run({ configFile: options.config }, context)
    })
  program
    .command('status')
    .description('show how the running agent is')
    .addOption(new Option('--json', 'the whole document, on one line').default(false).conflicts('watch'))
    .option('--watch', 'keep showing it, with transfers and what changes, until q or Ctrl-C', false)
    .addOption(config)
    .addOption(socket)
    .action(async ({ json, watch, ...options }: StatusFlags) => {
      if (watch) {
        const { watchStatus } = await import('./watch-status.ts')
        await watchStatus(located(options), context)
      } else {
        const { status } = await import('./ask-agent.ts')
        await status({ ...located(options), json }, context)
      }
    })
  addDoctor(program, config, context)
  addLogs(program, { config, socket }, context)
  addConfigCommands(program, { config, socket }, context)
  addArtifactCommands(program, { config, socket }, context)
  for (const { name, argument, description, load } of requests) {
    program
      .command(name)
      .description(description)
      .argument(`[${argument}]`, 'only this one; default all')
      .addOption(config)
      .addOption(socket)
      .action(async (chosen: string | undefined, options: { config: string; socket?: string }) => {
        const ask = await load()
        await ask({ ...located(options), ...(chosen === undefined ? {} : { name: chosen }) }, context)
      })
  }
  addProvision(program, config, context)
  addReset(program, config, context)
  addPublish(program, context)
  addSignUpdate(program, context)
  return program
}

interface StatusFlags {
  readonly json: boolean
  readonly watch: boolean
  readonly config: string
  readonly socket?: string
}

interface Located {
  readonly config: Option
  readonly socket: Option
}

function addDoctor(program: Command, config: Option, context: CommandContext): void {
  program
    .command('doctor')
    .description('look at all that the agent needs, with or without a running one, and say what is wrong')
    .option('--json', 'the whole report, on one line', false)
    .addOption(config)
    .action(async ({ json, config: configFile }: { json: boolean; config: string }) => {
      const { doctor } = await import('./doctor.ts')
      await doctor({ configFile, json }, context)
    })
}

function addLogs(program: Command, { config, socket }: Located, context: CommandContext): void {
  program
    .command('logs')
    .description("show the last lines of the agent's own log, and what waits for its upload")
    .option('--lines <number>', `how many of the lines that it still has, ${maxLines} at most`, lineCount, 50)
    .option('--follow', 'go on with what is logged from now on, until Ctrl-C', false)
    .option('--json', 'the whole answer on one line; with --follow a line for each', false)
    .addOption(config)
    .addOption(socket)
    .action(async ({ lines, follow, json, ...options }: LogsFlags) => {
      const { logs } = await import('./logs.ts')
      await logs({ ...located(options), lines, follow, json }, context)
    })
}

interface LogsFlags {
  readonly lines: number
  readonly follow: boolean
  readonly json: boolean
  readonly config: string
  readonly socket?: string
}

function lineCount(text: string): number {
  const count = /^\d{1,4}$/.test(text) ? Number(text) : NaN
  if (count <= maxLines) return count
  throw new InvalidArgumentError(`It must be a number from 0 to ${maxLines}: the agent keeps no more.`)
}

function addConfigCommands(program: Command, { config, socket }: Located, context: CommandContext): void {
  const commands = program.command('config').description('look at the configuration')
  commands
    .command('check')
    .description('check a configuration file, with the remote overlay in force; names every fault')
    .addOption(config)
    .action(async (options: { config: string }) => {
      const { checkConfig } = await import('./check-config.ts')
      await checkConfig({ configFile: options.config }, context)
    })
  commands
    .command('show')
    .description('show the configuration in use, remote overlay and defaults included')
    .option('--origin', 'where each value is from, as well', false)
    .option('--json', 'the whole document, on one line', false)
    .addOption(config)
    .addOption(socket)
    .action(async ({ origin, json, ...options }: ShowOptions) => {
      const { showConfig } = await import('./show-config.ts')
      await showConfig({ ...located(options), origin, json }, context)
    })
}

interface ShowOptions {
  readonly origin: boolean
  readonly json: boolean
  readonly config: string
  readonly socket?: string
}

function addArtifactCommands(program: Command, { config, socket }: Located, context: CommandContext): void {
  const artifacts = program.command('artifacts').description('look at installed releases, and go back to one')
  for (const { name, description, load } of artifactRequests) {
    artifacts
      .command(name)
      .description(description)
      .argument('<name>', 'of the artifact')
      .addOption(config)
      .addOption(socket)
      .action(async (chosen: string, options: { config: string; socket?: string }) => {
        const ask = await load()
        await ask({ ...located(options), name: chosen }, context)
      })
  }
  artifacts
    .command('rollback')
    .description('go back to a kept release, until the source changes')
    .argument('<name>', 'of the artifact')
    .option('--to <id>', 'this release, or what its id begins with; default the one before')
    .addOption(config)
    .addOption(socket)
    .action(async (chosen: string, { to, ...options }: { to?: string; config: string; socket?: string }) => {
      const { rollBack } = await import('./artifacts.ts')
      await rollBack({ ...located(options), name: chosen, ...(to === undefined ? {} : { to }) }, context)
    })
}

function addProvision(program: Command, config: Option, context: CommandContext): void {
  program
    .command('provision')
    .description('give this appliance an identity by hand, while no agent runs')
    .option('--certificate <file>', 'the certificate of the thing, in PEM')
    .option('--private-key <file>', 'its private key, in PEM')
    .option('--thing-name <name>', 'of the certificate; default that of archive or configuration')
    .option('--archive <path>', 'a folder, .tar.gz or .zip with certificate or claim, and maybe config.json')
    .option('--claim', 'get an identity by claim, now', false)
    .option('--replace', 'also in the place of an identity, or of a claim, that is there', false)
    .addOption(config)
    .action(async ({ config: configFile, ...options }: ProvisionCommand) => {
      const { provision } = await import('./provision.ts')
      await provision({ configFile, ...options }, context)
    })
}

type ProvisionCommand = Omit<ProvisionOptions, 'configFile'> & { readonly config: string }

function addReset(program: Command, config: Option, context: CommandContext): void {
  program
    .command('reset')
    .description('wipe identity, secrets, artifacts and all other state, while no agent runs')
    .option('--yes', 'do it; else only say what would be wiped', false)
    .option('--decommission', 'also where there is no way back, and with claim and identity of the image', false)
    .option('--archive <path>', 'what the appliance is provisioned from afterwards')
    .addOption(config)
    .action(async ({ config: configFile, ...options }: ResetCommand) => {
      const { reset } = await import('./reset.ts')
      await reset({ configFile, ...options }, context)
    })
}

type ResetCommand = Omit<ResetOptions, 'configFile'> & { readonly config: string }

function addPublish(program: Command, context: CommandContext): void {
  program
    .command('publish')
    .description('make a folder the next release of an artifact; for operators, with their own AWS credentials')
    .argument('<folder>', 'what the release holds')
    .requiredOption('--access-point <arn>', 'of the S3 access point that appliances read from')
    .requiredOption('--prefix <prefix>', 'that of the artifact, ends with /')
    .requiredOption('--name <name>', 'that of the artifact in the configuration of the appliances')
    .option('--key <file>', 'sign with this private key (PEM, P-256 or Ed25519)')
    .option('--version <label>', 'what people call this release; default: the time')
    .option('--sequence <number>', 'instead of one above that of the release before')
    .option('--from-panorama', 'the folder is an application project of AWS Panorama')
    .option('--region <region>', 'default: that of the access point')
    .option('--endpoint <url>', 'instead of the one of Amazon S3')
    .action(async (folder: string, options: Omit<PublishCommand, 'folder'>) => {
      const { publish } = await import('./publish.ts')
      await publish({ folder, ...options }, context)
    })
}

function addSignUpdate(program: Command, context: CommandContext): void {
  program
    .command('sign-update')
    .description('sign packages of the agent, for jobs that update it; for operators')
    .argument('<file...>', 'panorama-agent_VERSION_ARCHITECTURE.deb')
    .requiredOption('--key <file>', 'the private key (PEM, P-256 or Ed25519)')
    .action(async (files: string[], { key }: { key: string }) => {
      const { signUpdates } = await import('./sign-update.ts')
      await signUpdates({ files, key }, context)
    })
}

const requests = [
  {
    name: 'sync',
    argument: 'name',
    description: 'sync artifacts now',
    load: async () => (await import('./ask-agent.ts')).sync,
  },
  {
    name: 'refresh',
    argument: 'camera',
    description: 'refresh camera credentials now',
    load: async () => (await import('./ask-agent.ts')).refresh,
  },
]

const artifactRequests = [
  {
    name: 'list',
    description: 'show the releases that are kept',
    load: async () => (await import('./artifacts.ts')).listReleases,
  },
  {
    name: 'verify',
    description: 'read every file of the installed release, and mend what is damaged',
    load: async () => (await import('./artifacts.ts')).verifyArtifact,
  },
]

function located({ config, socket }: { config: string; socket?: string }) {
  return { configFile: config, ...(socket === undefined ? {} : { socket }) }
}
