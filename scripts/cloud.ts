import { runClaimsCommand } from './cloud-claims.ts'
import { runJobsCommand } from './cloud-jobs.ts'
import { runShadowCommand } from './cloud-shadow.ts'
import { parseCommandLine } from './parse-command-line.ts'

const usage = `Usage: npm run cloud -- [--folder FOLDER] [--thing NAME] [--services-port PORT] [--credentials-port PORT] [--mqtt-port PORT]
       npm run cloud -- jobs create --folder FOLDER --job ID --document FILE [--thing NAME] [--timeout-minutes N]
       npm run cloud -- jobs cancel --folder FOLDER --job ID [--force]
       npm run cloud -- jobs cancel-execution --folder FOLDER --job ID [--thing NAME] [--force]
       npm run cloud -- jobs list --folder FOLDER
       npm run cloud -- shadow get --folder FOLDER [--thing NAME] [--shadow NAME]
       npm run cloud -- claims create --folder FOLDER [--out FOLDER]
       npm run cloud -- claims list --folder FOLDER

Runs the local cloud until it is interrupted. Writes the identity of an appliance and a configuration for it to FOLDER
(default: a temporary folder, removed at the end). With mosquitto installed, AWS IoT Core is part of it, and "jobs" has
the cloud that runs with this FOLDER make, cancel and list jobs; as in AWS, "cancel" ends what is queued, and what is in
progress only with --force, while "cancel-execution", of one thing, refuses that without. "shadow get" prints what an
appliance reports (shadow panorama-agent, unless told otherwise). "claims create" has it make a certificate for
fleet provisioning, which is written with its key to --out (default: claim in FOLDER), and "claims list" lists certificates.
`

const { values, positionals } = parseCommandLine(usage, {
  allowPositionals: true,
  options: {
    job: { type: 'string' },
    document: { type: 'string' },
    'timeout-minutes': { type: 'string' },
    force: { type: 'boolean', default: false },
    'mqtt-port': { type: 'string', default: '0' },
    folder: { type: 'string' },
    out: { type: 'string' },
    shadow: { type: 'string', default: 'panorama-agent' },
    thing: { type: 'string', default: 'panorama_demo_Thing' },
    'services-port': { type: 'string', default: '0' },
    'credentials-port': { type: 'string', default: '0' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(usage)
else if (positionals[0] === 'jobs') await tell(() => runJobsCommand(positionals[1], values))
else if (positionals[0] === 'shadow') await tell(() => runShadowCommand(positionals[1], values))
else if (positionals[0] === 'claims') await tell(() => runClaimsCommand(positionals[1], values))
else if (positionals[0] === undefined)
  await tell(async () => {
    await (await import('./cloud-run.ts')).runCloud(values) // only here: it takes a second to load
  })
else {
  process.stderr.write(`"${positionals[0]}" is not known\n${usage}`)
  process.exitCode = 64
}

async function tell(command: () => Promise<void>): Promise<void> {
  try {
    await command()
  } catch (error) {
    process.stderr.write(`cloud: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}
