import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { reportError } from '../agent/lib/errors.ts'
import { startCloud, type Cloud } from '../test/cloud/cloud.ts'
import { mosquittoHint, startIotCloud, type IotCloud } from '../test/cloud/iot/iot-cloud.ts'
import { findMosquitto } from '../test/cloud/iot/mosquitto.ts'
import { AgentProcess } from '../test/support/agent-process.ts'
import { createApplianceFiles } from '../test/support/appliance-files.ts'
import { DemoConsole, DemoEnded } from './demo-console.ts'
import { DemoJobs, type EndedJob } from './demo-jobs.ts'
import { DemoStory } from './demo-story.ts'
import { parseCommandLine } from './parse-command-line.ts'

const usage = `Usage: scripts/demo [--once] [--publish FOLDER]

Starts a local cloud and the agent as a process of its own, shows the agent at work, then changes things in the cloud
and shows the agent follow; with mosquitto installed, jobs of AWS IoT as well. Everything runs on this machine, in a
temporary folder that is removed at the end.

  --once             do not wait for keys; the last line is a JSON object, the exit code 0 if everything converged
  --publish FOLDER   sync the files of this folder instead of the demo's own model
`

const { values } = parseCommandLine(usage, {
  options: {
    once: { type: 'boolean', default: false },
    publish: { type: 'string' },
    from: { type: 'string', default: process.cwd() },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(usage)
else process.exitCode = await runDemo()

async function runDemo(): Promise<number> {
  const screen = new DemoConsole()
  const interrupt = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      interrupt.abort(new DemoEnded())
    })
  }
  try {
    const summary = await tell(screen, interrupt.signal)
    process.stdout.write(`${JSON.stringify(summary)}\n`)
    return 0
  } catch (error) {
    if (error instanceof DemoEnded || interrupt.signal.aborted) return values.once ? 130 : 0
    const { message, hint } = reportError(error)
    process.stderr.write(`demo: ${message}\n${hint === undefined ? '' : `hint: ${hint}\n`}`)
    return 1
  }
}

async function tell(screen: DemoConsole, signal: AbortSignal): Promise<Record<string, unknown>> {
  await using resources = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'panorama-demo-'))
  resources.defer(() => rm(folder, { recursive: true, force: true }))
  const cloud = await screen.step('start a local cloud', () => start(resources))
  if (!hasIotCore(cloud)) screen.fact(`without AWS IoT Core and its jobs: ${mosquittoHint}`)
  const publishFolder = values.publish === undefined ? undefined : resolve(values.from, values.publish)
  const appliance = await screen.step('make the identity and the configuration of an appliance', async () =>
    createApplianceFiles({ cloud, folder, thingName: 'panorama_dock-1_Thing', config: demoConfig(cloud.names) }),
  )
  screen.fact(`configuration: ${appliance.configFile}`)
  const story = new DemoStory({ screen, cloud, appliance, publishFolder, signal })
  await story.prepare()
  screen.heading('The agent starts')
  const agent = resources.use(
    new AgentProcess({
      ...appliance,
      onLine: (line) => {
        screen.agentLine(line)
      },
    }),
  )
  const pause = async (text: string): Promise<void> => {
    signal.throwIfAborted()
    if (!values.once) await screen.key(text, signal)
  }
  await story.firstPass(agent)
  await pause('publish a new model version, rotate a camera password, and see the agent follow')
  await story.changes(agent)
  await pause('cut the network for ten seconds')
  await story.outage(agent)
  const jobs: EndedJob[] = []
  if (hasIotCore(cloud)) {
    const scenes = new DemoJobs({ screen, cloud, thingName: appliance.thingName, signal })
    await pause('change the configuration from afar, by a job of AWS IoT')
    jobs.push(await scenes.change(agent))
    await pause('change it in a way that would cut the appliance off: it takes half a minute')
    jobs.push(await scenes.mistake(agent))
  }
  await pause('stop the agent')
  return { ...(await story.end(agent)), jobs }
}

async function start(resources: AsyncDisposableStack): Promise<Cloud | IotCloud> {
  const mosquitto = await findMosquitto(process.env['PATH'] ?? '')
  return resources.use(mosquitto === undefined ? await startCloud() : await startIotCloud({ mosquitto }))
}

function hasIotCore(cloud: Cloud | IotCloud): cloud is IotCloud {
  return 'iot' in cloud
}

function demoConfig({ accessPointArn }: { readonly accessPointArn: string }): Record<string, unknown> {
  return {
    artifacts: [{ name: 'people-counter', accessPoint: accessPointArn, prefix: 'people-counter/', pollSeconds: 10 }],
    cameras: {
      refreshSeconds: 30,
      streams: [
        { name: 'dock-1', secretId: 'panorama/shared/dock-1', probe: false },
        { name: 'dock-2', secretId: 'panorama/shared/dock-2', probe: false },
      ],
    },
  }
}
