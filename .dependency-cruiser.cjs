/** The import rules of ARCHITECTURE.md. test/unit/import-rules.test.ts breaks each one on purpose. */
/** The composition root. */
const root = '^agent/(composition/|(?!(main|build-info)\\.ts$)[a-z-]+\\.ts$)'
const feature = '^agent/(artifacts|cameras|credentials|doctor|identity|jobs|logs|network|reset|root-requests|status)/'
const publishing = '^agent/publishing/'

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'A cycle is two modules that are really one.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'nobody-imports-main',
      comment: 'main -> commands -> agent -> everything, never the other way.',
      severity: 'error',
      from: {},
      to: { path: '^agent/main\\.ts$' },
    },
    {
      name: 'only-main-imports-commands',
      comment: 'main -> commands -> agent -> everything, never the other way.',
      severity: 'error',
      from: { path: '^agent/', pathNot: '^agent/(main\\.ts$|commands/)' },
      to: { path: '^agent/commands/' },
    },
    {
      name: 'only-commands-import-the-root',
      comment: 'The composition root knows everything, so nothing but the commands may know it.',
      severity: 'error',
      from: { path: '^agent/', pathNot: `^agent/(main\\.ts$|commands/)|${root}` },
      to: { path: root },
    },
    {
      name: 'features-do-not-know-aws',
      comment: 'A feature owns its port; adapters implement it. So a feature can be tested, and moved, without AWS.',
      severity: 'error',
      from: { path: [feature, publishing] },
      to: { path: '^agent/aws/|node_modules/(@aws-sdk|@smithy|aws-iot-device-sdk-v2|aws-crt)/' },
    },
    {
      name: 'publishing-shares-the-manifest-only',
      comment: 'What appliances read is what is published: one schema, one set of path rules. Nothing else is shared.',
      severity: 'error',
      from: { path: publishing },
      to: { path: feature, pathNot: '^agent/artifacts/release/release-(manifest|path|signature)\\.ts$' },
    },
    {
      name: 'the-agent-does-not-load-publishing',
      comment: 'Publishing is the work of operators; on an appliance it must not take memory.',
      severity: 'error',
      from: {
        path: '^agent/',
        pathNot:
          '^agent/(publishing/|commands/(publish(-progress)?|sign-update)\\.ts$|aws/s3-release-destination\\.ts$)',
      },
      to: {
        path: '^agent/(publishing/|commands/(publish(-progress)?|sign-update)\\.ts$|aws/s3-release-destination\\.ts$)',
        dynamic: false,
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'features-do-not-know-each-other',
      comment: 'What two features share is passed in by agent.ts.',
      severity: 'error',
      from: { path: feature },
      to: { path: feature, pathNot: '^agent/$1/' }, // $1 is the feature that `from` matched
    },
    {
      name: 'features-see-only-the-shape-of-the-configuration',
      comment: 'Features get values, not the way they are loaded.',
      severity: 'error',
      from: { path: feature },
      to: { path: '^agent/config/', pathNot: '^agent/config/config-schema\\.ts$' },
    },
    {
      name: 'features-import-the-configuration-as-types',
      comment: 'Features get values, not the schema.',
      severity: 'error',
      from: { path: feature },
      to: { path: '^agent/config/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'adapters-import-ports-as-types',
      comment: 'An adapter implements a port; it runs no code of a feature.',
      severity: 'error',
      from: { path: '^agent/aws/' },
      to: { path: '^agent/(?!aws/|lib/)', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'only-adapters-know-the-sdks',
      comment: 'The SDKs change; one folder follows them.',
      severity: 'error',
      from: { path: '^agent/', pathNot: '^agent/aws/' },
      to: { path: 'node_modules/(@aws-sdk|@smithy|aws-iot-device-sdk-v2|aws-crt)/' },
    },
    {
      name: 'lib-knows-no-product',
      comment: 'lib has no product words, so it imports nothing of ours.',
      severity: 'error',
      from: { path: '^agent/lib/' },
      to: { path: '^agent/(?!lib/)' },
    },
    {
      name: 'lib-imports-node-only',
      comment: 'lib stands on node: alone; winston stays behind lib/log.ts.',
      severity: 'error',
      from: { path: '^agent/lib/', pathNot: '^agent/lib/log\\.ts$' },
      to: { path: 'node_modules/' },
    },
    {
      name: 'only-log-imports-winston',
      comment: 'One place decides what a log line looks like.',
      severity: 'error',
      from: { path: '^agent/', pathNot: '^agent/lib/log\\.ts$' },
      to: { path: 'node_modules/(winston|winston-transport)/' },
    },
    {
      name: 'what-runs-as-root-stands-alone',
      comment:
        'What acts as root is small enough to be read as a whole: node: and its own files, and when it was made.',
      severity: 'error',
      from: { path: '^agent/request-handler/' },
      to: { pathNot: '^agent/(request-handler/|build-info\\.ts$)|^(node:)?[a-z/_]+$' },
    },
    {
      name: 'nobody-imports-what-runs-as-root',
      comment: 'The agent asks by a file, and shares nothing with who answers.',
      severity: 'error',
      from: { path: '^agent/', pathNot: '^agent/request-handler/' },
      to: { path: '^agent/request-handler/' },
    },
    {
      name: 'the-agent-does-not-import-tests',
      comment: 'The product stands alone.',
      severity: 'error',
      from: { path: '^agent/' },
      to: { path: '^(test|scripts)/' },
    },
    {
      name: 'no-unresolvable',
      comment: 'An import that cannot be resolved fails on the appliance.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    builtInModules: { add: ['ffi', 'node:ffi'] },
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
}
