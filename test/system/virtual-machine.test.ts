import { spawn } from 'node:child_process'
import { appendFile, chmod, cp, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { Appliance, paths } from './support/appliance.ts'
import { pollUntil } from './support/poll-until.ts'

const isWanted = process.env['PANORAMA_TEST_QEMU'] === '1'
if (!isWanted)
  console.log(
    'left out: limits of memory and tasks, lines of a kernel, and setting the clock, need PANORAMA_TEST_QEMU=1',
  )

const files = 301
const guest = join(import.meta.dirname, 'guest')
const inGuest = '/usr/local/lib/panorama-agent-test'
const bootWithinMs = 900_000
/** The limit has to be this much above what the agent needed. */
const headroom = 2

it.skipIf(!isWanted)(
  'stays far below its limits at work, sends what the kernel says, is restarted when it exceeds a limit, and has the clock set',
  async () => {
    const sources = [{ kind: 'file', path: `${paths.logs}/*.log` }, { kind: 'journal' }]
    await using appliance = await Appliance.make({
      prepare: prepareGuest,
      config: () => ({ logs: { flushSeconds: 1, sources } }),
      dropIns: { journal: '[Service]\nSupplementaryGroups=systemd-journal\n' },
    })
    appliance.setPassword('first')
    await appliance.publish('weights.bin', Buffer.alloc(100_000_000, 'weights '))
    for (let index = 1; index < files; index += 1)
      await appliance.publish(`part-${index}`, Buffer.alloc(100_000, `${index} `))
    const { root } = appliance.container
    for (let index = 0; index < 10; index += 1)
      await writeFile(join(root, paths.logs, `app-${index}.log`), logFile(index))
    await addUnits(root, portsOf(appliance))

    const measured = await bootMachine(root)

    console.log(
      Object.entries(measured)
        .map(([name, value]) => `${name}: ${value}`)
        .join('\n'),
    )
    expect(measured['done']).toBeDefined()
    expect(measured['restarts']).toBe('0')
    expect(Number(measured['memory.max'])).toBeGreaterThan(headroom * Number(measured['memory.peak']))
    expect(Number(measured['pids.max'])).toBeGreaterThan(headroom * Number(measured['pids.most']))
    const ofKernel = appliance.messages('kern_log')
    expect(ofKernel.filter((line) => line.includes('the link of dock 7 is down'))).toHaveLength(1)
    expect(ofKernel).toContainEqual(expect.stringMatching(/^Linux version \d/))
    expect(appliance.messages('syslog').filter((line) => /^dock(\[\d+\])?: the door is open$/.test(line))).toHaveLength(
      1,
    )
    expect(JSON.parse(measured['set-clock'] ?? '')).toMatchObject({ result: 'done' })
    expect(Number(measured['stepped'])).toBeGreaterThanOrEqual(86_400)
    expect(measured['last-run']).toContain('result=oom-kill')
    expect(measured['state']).toBe('active')
  },
  1_500_000,
)

/** Debian's kernel for clouds, from the image's own apt sources. */
async function prepareGuest(image: string): Promise<void> {
  await cp('/etc/resolv.conf', join(image, 'etc/resolv.conf'))
  await runCommand('mount', ['-t', 'proc', 'proc', join(image, 'proc')])
  try {
    const install = 'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" && apt-get clean'
    const kernel = ['linux-image-cloud-amd64', 'initramfs-tools']
    await runCommand('chroot', [image, 'sh', '-c', install, 'sh', ...kernel], { withinMs: 400_000 })
  } finally {
    await runCommand('umount', [join(image, 'proc')])
  }
}

/** 2 MB of lines, written before the boot. */
function logFile(index: number): string {
  return Array.from({ length: 20_000 }, (_, line) => `${index} ${line} ${'x'.repeat(90)}\n`).join('')
}

function portsOf({ cloud }: Appliance): readonly string[] {
  return [cloud.endpoints.credentials, cloud.endpoints.s3].map((text) => text.split(':').at(-1) ?? '')
}

async function addUnits(root: string, ports: readonly string[]): Promise<void> {
  await mkdir(join(root, inGuest), { recursive: true })
  for (const name of ['forward.ts', 'measure.sh']) await cp(join(guest, name), join(root, inGuest, name))
  await chmod(join(root, inGuest, 'measure.sh'), 0o755)
  const units = {
    forward: `ExecStart=/usr/lib/panorama-agent/node ${inGuest}/forward.ts ${ports.join(' ')}`,
    measure: `Environment=FILES=${files}\nExecStart=${inGuest}/measure.sh`,
  }
  const folder = join(root, 'etc/systemd/system')
  for (const [name, lines] of Object.entries(units)) {
    const after = name === 'measure' ? '[Unit]\nAfter=panorama-agent.service\n' : ''
    await writeFile(
      join(folder, `${name}.service`),
      `${after}[Service]\n${lines}\n[Install]\nWantedBy=multi-user.target\n`,
    )
    await runCommand('chroot', [root, 'systemctl', 'enable', name])
  }
  await appendFile(join(root, 'etc/fstab'), '/dev/vda / ext4 rw 0 1\n')
}

/** Boots a root file system in a machine of its own; resolves with what it measured, when it has switched itself off. */
async function bootMachine(root: string): Promise<Readonly<Record<string, string>>> {
  await using folder = await tempFolder()
  const disk = join(folder.path, 'disk.ext4')
  await runCommand('mke2fs', ['-q', '-t', 'ext4', '-d', root, disk, '3G'], { withinMs: 300_000 })
  const boot = await readdir(join(root, 'boot'))
  const bootFile = (start: string): string => join(root, 'boot', boot.find((name) => name.startsWith(start)) ?? start)
  const machine = ['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '2048', '-nographic', '-no-reboot']
  const system = ['-kernel', bootFile('vmlinuz-'), '-initrd', bootFile('initrd.img-')]
  const append = ['-append', 'root=/dev/vda rw console=ttyS0 systemd.unified_cgroup_hierarchy=1 quiet']
  const drive = ['-drive', `file=${disk},format=raw,if=virtio,cache=unsafe`]
  const network = ['-netdev', 'user,id=n0,restrict=off', '-device', 'virtio-net-pci,netdev=n0']
  const child = spawn('qemu-system-x86_64', [...machine, ...system, ...append, ...drive, ...network], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { text: '' }
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output.text += text
    })
  try {
    await pollUntil('the machine switched itself off', () => child.exitCode !== null, bootWithinMs)
  } catch (cause) {
    throw new Error(output.text.slice(-8_000), { cause })
  } finally {
    child.kill('SIGKILL')
  }
  const lines = output.text.split(/\r?\n/).flatMap((line) => [...line.matchAll(/measured ([\w.-]+)=(.*)$/g)])
  return Object.fromEntries(lines.map(([, name = '', value = '']) => [name, value]))
}
