import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'

import { build, type BuildOptions } from 'esbuild'

/**
 * Bundles the programs into `native/` below dist/ or `--outdir`, beside which the native parts go: root's into one file
 * each, `<name>.cjs`; the agent into `agent.mjs` and parts of it, `agent-<digest>.mjs`, of which a command loads those
 * that it needs. `bundle-meta.json` there says what was bundled.
 */
const rootPrograms = {
  'request-handler': 'agent/request-handler/main.ts',
  'update-runner': 'agent/request-handler/update/main.ts',
}

const { values } = parseArgs({ options: { outdir: { type: 'string', default: 'dist' } } })
const outdir = join(values.outdir, 'native')
const shared = {
  outdir,
  bundle: true,
  platform: 'node',
  target: 'node26',
  mainFields: ['module', 'main'], // what is not used is then left out, which saves memory on the appliance
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
} as const satisfies BuildOptions

/** As one file, V8 would parse all of it at each start, and malloc keep what that took. */
const agentOptions = {
  ...shared,
  entryPoints: { agent: 'agent/main.ts' },
  outExtension: { '.js': '.mjs' },
  minifySyntax: true,
  minifyWhitespace: true, // names stay: giving classes theirs back costs more of the start than reading long ones
  chunkNames: 'agent-[hash]', // sorts before agent.mjs: dpkg puts parts in place before what loads them
  format: 'esm',
  splitting: true,
  inject: [join(import.meta.dirname, 'packaging', 'crt-binary.ts')],
  define: {
    'process.env.AWS_CRT_NODEJS_BINARY_RELATIVE_PATH': 'crtBinary',
    'process.env.NODE_ENV': '"production"', // else a library of winston loads what colours its messages for developers
  },
  banner: {
    js: "import{createRequire as requireFrom}from'node:module';const require=requireFrom(import.meta.url),__dirname=import.meta.dirname;",
  },
} as const satisfies BuildOptions

await rm(outdir, { recursive: true, force: true })
await mkdir(outdir, { recursive: true })
const { metafile: agentMeta } = await build(agentOptions)
const { metafile: rootMeta } = await build({
  ...shared,
  entryPoints: rootPrograms,
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  minify: true,
  keepNames: true,
})
const outputs = { ...agentMeta.outputs, ...rootMeta.outputs }
const meta = { inputs: { ...agentMeta.inputs, ...rootMeta.inputs }, outputs }
await writeFile(join(values.outdir, 'bundle-meta.json'), JSON.stringify(meta))
for (const name of ['agent.mjs', ...Object.keys(rootPrograms).map((program) => `${program}.cjs`)]) {
  console.log(`${join(outdir, name)}: ${kib((await stat(join(outdir, name))).size)}`)
}
const parts = Object.entries(outputs).filter(([file]) => /^agent-.*\.mjs$/.test(basename(file)))
console.log(
  `${join(outdir, 'agent-*.mjs')}: ${parts.length} parts, ${kib(parts.reduce((sum, [, { bytes }]) => sum + bytes, 0))}`,
)

function kib(bytes: number): string {
  return `${Math.round(bytes / 1024)} KiB`
}
