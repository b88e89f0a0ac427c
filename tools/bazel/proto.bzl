"""Rust from `.proto` files by relay-rpc-gen, without protoc: messages, services, descriptors."""

def _relay_proto_library_impl(ctx):
    outputs = [ctx.actions.declare_file("{}/{}.rs".format(ctx.label.name, package)) for package in ctx.attr.packages]
    descriptors = ctx.actions.declare_file("{}/descriptors.bin".format(ctx.label.name))
    root = "/".join([part for part in [ctx.label.workspace_root, ctx.label.package, ctx.attr.include] if part]) or "."
    args = ctx.actions.args()
    args.add("--include", root)
    args.add("--out", descriptors.dirname)
    args.add("--descriptors", descriptors.basename)
    for package, path in ctx.attr.externs.items():
        args.add("--extern", ".{}={}".format(package, path))
    for src in ctx.files.srcs:
        args.add(src.path.removeprefix(root + "/"))
    ctx.actions.run(
        arguments = [args],
        executable = ctx.executable._generator,
        inputs = ctx.files.srcs + ctx.files.imports,
        mnemonic = "RelayProto",
        outputs = outputs + [descriptors],
        progress_message = "Generating Rust for %{label}",
    )
    return [DefaultInfo(files = depset(outputs + [descriptors]))]

relay_proto_library = rule(
    implementation = _relay_proto_library_impl,
    attrs = {
        "externs": attr.string_dict(doc = "Rust paths of packages whose messages another crate has."),
        "imports": attr.label_list(allow_files = [".proto"], doc = "Files that are imported and not generated."),
        "include": attr.string(doc = "The folder that imports begin at, below the package."),
        "packages": attr.string_list(doc = "The packages of the files: each becomes NAME/PACKAGE.rs.", mandatory = True),
        "srcs": attr.label_list(allow_files = [".proto"], doc = "Files of the package to generate from.", mandatory = True),
        "_generator": attr.label(
            cfg = "exec",
            default = "//relay/rpc-gen:relay-rpc-gen",
            executable = True,
        ),
    },
    doc = """Generates NAME/PACKAGE.rs for each package and NAME/descriptors.bin.

A rust_library takes the target as `compile_data` and includes the files; what they need are the crates prost and
relay-rpc.""",
)
